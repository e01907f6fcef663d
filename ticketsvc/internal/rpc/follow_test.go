package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
)

// replica is a service that can be restarted on the same store.
type replica struct {
	store ticket.Store

	mu   sync.Mutex
	url  string
	stop func() error
}

func mustStartReplica(t *testing.T, store ticket.Store) *replica {
	t.Helper()
	r := &replica{store: store}
	if err := r.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *replica) start(ctx context.Context) error {
	log := slog.New(slog.DiscardHandler)
	service := rpc.New(r.store, func(context.Context) error { return nil }, log)
	server, err := httpserver.Listen(ctx, "127.0.0.1:0", service.NewServer(rpc.Security{WatchersPerToken: 4096}, log))
	if err != nil {
		return err
	}
	server.Start(func(error) {})
	r.url = "http://" + server.Addr()
	r.stop = func() error {
		return errors.Join(server.Stop(context.Background()), service.Close(context.Background()))
	}
	return nil
}

// restart ends the service as SIGTERM does, and starts another one at another address.
func (r *replica) restart(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.stop(), r.start(ctx))
}

func (r *replica) address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.url
}

// follower keeps a copy of the tickets that match a filter.
type follower struct {
	filter  *ticketv1.TicketFilter
	random  *rand.Rand
	token   string
	tickets map[string]*ticketv1.Ticket
	// first and last are the sequence numbers of the first and the last event that the follower got.
	first, last int64
	// whole is set if the follower gets every event, so that there must be no gaps.
	whole bool
}

func newFollower(seed uint64, filter *ticketv1.TicketFilter) *follower {
	return &follower{filter: filter, random: rand.New(rand.NewPCG(seed, 99)), tickets: map[string]*ticketv1.Ticket{}, whole: filter == nil}
}

func (f *follower) take(m *ticketv1.WatchTicketsResponse) error {
	f.token = m.GetResumeToken()
	if left := m.GetRemoved(); left != nil {
		delete(f.tickets, left.GetTicketId())
		return nil
	}
	one := m.GetChange().GetTicket()
	if one == nil {
		return nil
	}
	f.tickets[one.GetTicketId()] = one
	sequence := m.GetChange().GetEvent().GetSequence()
	switch {
	case sequence == 0 && f.last != 0:
		return errors.New("the snapshot goes on after the changes")
	case sequence == 0:
		return nil
	case f.first == 0:
		f.first = sequence
	case f.whole && sequence != f.last+1 || sequence <= f.last:
		return fmt.Errorf("after event %d comes %d", f.last, sequence)
	}
	f.last = sequence
	return nil
}

// errCut is returned if the follower was cut off on purpose.
var errCut = errors.New("cut off")

// watch follows until done returns true, or the given number of messages has come, or the stream ends. Then it returns an error. The
// follower is cut off by the end of its context, or of its connection.
func (f *follower) watch(ctx context.Context, url string, messages int, done func() bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var conns []net.Conn
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			conns = append(conns, conn)
		}
		return conn, err
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	client := ticketv1connect.NewTicketServiceClient(&http.Client{Transport: transport}, url, connect.WithGRPC())
	stream, err := client.WatchTickets(ctx, &ticketv1.WatchTicketsRequest{ResumeToken: f.token, Filter: f.filter})
	if err != nil {
		return err
	}
	defer func() {
		cancel()
		_ = stream.Close()
	}()
	for range messages {
		if !stream.Receive() {
			return stream.Err()
		}
		if err := f.take(stream.Msg()); err != nil {
			return fmt.Errorf("%w: %w", errWrong, err)
		}
		if done() {
			return nil
		}
	}
	if f.random.IntN(2) == 0 {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	return errCut
}

// errWrong is returned if the stream sent something that is not allowed.
var errWrong = errors.New("the stream is wrong")

// follow watches by different replicas in turn until done. It is cut off that many times at random, some of these during the snapshot.
func (f *follower) follow(ctx context.Context, replicas []*replica, cuts, messages int, done func() bool) (cutOff int, err error) {
	for ctx.Err() == nil {
		limit := 1 << 30
		if cutOff < cuts {
			limit = f.random.IntN(2 * messages / cuts)
		}
		err := f.watch(ctx, replicas[f.random.IntN(len(replicas))].address(), limit, done)
		switch {
		case err == nil:
			return cutOff, nil
		case errors.Is(err, errCut):
			cutOff++
		case connect.CodeOf(err) != connect.CodeUnavailable && connect.CodeOf(err) != connect.CodeCanceled:
			// Other errors are those of a restart: Connect reports cancelled for a connection that is reset while it begins.
			return cutOff, err
		}
	}
	return cutOff, ctx.Err()
}

// expectCopy fails if the follower does not have exactly the tickets that ListTickets returns.
func (f *follower) expectCopy(t *testing.T, c client) {
	t.Helper()
	want := map[string]*ticketv1.Ticket{}
	request := &ticketv1.ListTicketsRequest{Filter: f.filter, PageSize: 1000}
	for {
		page, err := c.ListTickets(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.GetTickets() {
			want[one.GetTicketId()] = one
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if diff := cmp.Diff(want, f.tickets, protocmp.Transform()); diff != "" {
		t.Errorf("filter %v: the copy has %d tickets, and the list %d: %.2000s", f.filter, len(f.tickets), len(want), diff)
	}
}

// randomChange returns an event of one of some tickets.
func randomChange(random *rand.Rand, id string, tickets int) ticket.Change {
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	c := ticket.Change{EventID: id, Name: ticket.Updated, TicketID: fmt.Sprintf("t%05d", random.IntN(tickets)),
		OccurTime: tickettest.At(random.Int64N(1000)), Fields: tickettest.Named("title"), Values: ticket.Ticket{Title: id}}
	for _, field := range []struct {
		name   string
		value  *string
		values []string
	}{
		{"status_text", &c.Values.StatusText, []string{"waiting-for-agent", "closed"}},
		{"property_id", &c.Values.PropertyID, []string{"p1", "p2", "p3"}},
		{"assignee_id", &c.Values.AssigneeID, []string{"", "u1"}},
	} {
		if random.IntN(2) == 0 {
			*field.value = pick(field.values...)
			c.Fields |= tickettest.Named(field.name)
		}
	}
	return c
}

// write records events from that many writers, in batches, over all stores.
func write(ctx context.Context, stores []ticket.Store, name string, events, tickets int, erase bool) error {
	const writers, batch = 4, 250
	var writing sync.WaitGroup
	var errs [writers]error
	for writer := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(writer), 17))
			store := stores[writer%len(stores)]
			for done := 0; done < events/writers && errs[writer] == nil; done += batch {
				changes := make([]ticket.Change, batch)
				for i := range changes {
					changes[i] = randomChange(random, fmt.Sprintf("%s-%d-%d", name, writer, done+i), tickets)
				}
				_, errs[writer] = store.Append(ctx, changes)
				if erase && random.IntN(2) == 0 {
					_, err := store.Erase(ctx, fmt.Sprintf("t%05d", random.IntN(tickets)))
					errs[writer] = errors.Join(errs[writer], err)
				}
			}
		})
	}
	writing.Wait()
	return errors.Join(errs[:]...)
}

// onBothEngines runs a test on two replicas with PostgreSQL, and on one with SQLite.
func onBothEngines(t *testing.T, test func(t *testing.T, replicas []*replica)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tickets.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		test(t, []*replica{mustStartReplica(t, store)})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := postgresql.Database(t)
		var replicas []*replica
		for range 2 {
			store, err := postgres.Open(t.Context(), url, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			replicas = append(replicas, mustStartReplica(t, store))
		}
		test(t, replicas)
	})
}

func storesOf(replicas []*replica) (stores []ticket.Store) {
	for _, r := range replicas {
		stores = append(stores, r.store)
	}
	return stores
}

// TestWatchTickets_cutOffMissesNothing tests the purpose of the feed: a watcher is cut off 60 times during 15,000 events, sometimes during
// the snapshot, and replicas restart meanwhile. The watcher must get each event once, and must have exactly the existing tickets at the
// end.
func TestWatchTickets_cutOffMissesNothing(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, replicas []*replica) {
		const before, events, tickets, cuts = 3000, 15_000, 1200, 60
		if err := write(t.Context(), storesOf(replicas), "before", before, tickets, false); err != nil {
			t.Fatal(err)
		}
		f := newFollower(1, nil)
		// The snapshot comes first: a quarter of the cuts are during it, or directly after it.
		if err := f.watch(t.Context(), replicas[0].address(), 1, func() bool { return false }); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		var writing sync.WaitGroup
		writing.Go(func() {
			if err := write(t.Context(), storesOf(replicas), "e", events-before, tickets, false); err != nil {
				t.Error(err)
			}
		})
		restarts := make(chan struct{}, cuts)
		writing.Go(func() {
			number := 0
			for range restarts {
				if err := replicas[number%len(replicas)].restart(t.Context()); err != nil {
					t.Error(err)
				}
				number++
			}
		})
		cutOff, err := f.follow(t.Context(), replicas, cuts/4, tickets*3/4, func() bool { return f.last > 0 })
		for n := 1; err == nil && n <= 10; n++ {
			restarts <- struct{}{}
			var more int
			upTo := int64(before + n*(events-before)/10)
			more, err = f.follow(t.Context(), replicas, cuts/10, (events-before)/10, func() bool { return f.last >= upTo })
			cutOff += more
		}
		close(restarts)
		writing.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if f.first != int64(before)+1 || f.last != int64(events) || cutOff < cuts {
			t.Errorf("it got the events %d to %d, want %d to %d, and cut off %d times", f.first, f.last, before+1, events, cutOff)
		}
		f.expectCopy(t, newClient(t, &server{url: replicas[0].address()}, "gRPC"))
		t.Logf("cut off %d times during %d events", cutOff, events)
	})
}

// TestWatchTickets_filtersMatchListTickets does the same with filters, and with erasures.
func TestWatchTickets_filtersMatchListTickets(t *testing.T) {
	t.Parallel()
	filters := map[string]*ticketv1.TicketFilter{
		"all":           nil,
		"closed":        {Statuses: []ticketv1.TicketStatus{ticketv1.TicketStatus_TICKET_STATUS_CLOSED}},
		"property":      {PropertyIds: []string{"p1", "p2"}},
		"unassigned":    {Unassigned: true},
		"user":          {AssigneeId: "u1", PropertyIds: []string{"p3"}},
		"updated after": {UpdatedAfter: at(985)},
		"updated in":    {UpdatedAfter: at(900), UpdatedBefore: at(980)},
		"together": {UpdatedBefore: at(995), Statuses: []ticketv1.TicketStatus{ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT},
			Unassigned: true, PropertyIds: []string{"p1"}},
	}
	// These tickets are recorded last. A watcher that has those of them that match its filter has everything.
	var last []ticket.Change
	for i, seconds := range []int64{950, 990} {
		for j, values := range []ticket.Ticket{{PropertyID: "p1", StatusText: "closed"}, {PropertyID: "p1", StatusText: "waiting-for-agent"},
			{PropertyID: "p3", AssigneeID: "u1"}} {
			id := fmt.Sprintf("last %d %d", i, j)
			last = append(last, ticket.Change{EventID: id, Name: ticket.Created, TicketID: id, OccurTime: tickettest.At(seconds),
				Fields: tickettest.Named("status_text", "property_id", "assignee_id"), Values: values})
		}
	}
	onBothEngines(t, func(t *testing.T, replicas []*replica) {
		const events, tickets, cuts = 4000, 300, 20
		followers := map[string]*follower{}
		var watching sync.WaitGroup
		for i, name := range slices.Sorted(maps.Keys(filters)) {
			f := newFollower(uint64(i), filters[name])
			f.whole = false // Events of erased tickets are left out.
			followers[name] = f
			filter, err := ticketpb.ToFilter(filters[name])
			if err != nil {
				t.Fatal(err)
			}
			var wanted []string
			for _, c := range last {
				record := ticket.NewState(c.TicketID)
				if record.Apply(&c); filter.Matches(&record.Ticket) {
					wanted = append(wanted, c.TicketID)
				}
			}
			if len(wanted) == 0 {
				t.Fatalf("%s: no last ticket matches", name)
			}
			watching.Go(func() {
				if _, err := f.follow(t.Context(), replicas, cuts, events/4, func() bool {
					return !slices.ContainsFunc(wanted, func(id string) bool { return f.tickets[id] == nil })
				}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		if err := write(t.Context(), storesOf(replicas), "e", events, tickets, true); err != nil {
			t.Error(err)
		}
		mustRecord(t, replicas[0].store, last...)
		watching.Wait()
		for _, f := range followers {
			f.expectCopy(t, newClient(t, &server{url: replicas[0].address()}, "gRPC"))
		}
	})
}
