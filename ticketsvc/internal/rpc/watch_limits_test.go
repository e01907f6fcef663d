package rpc_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// patient are limits of streams that a test reaches only on purpose.
var patient = rpc.StreamLimits{Stall: rpc.MaxStallTime, Slow: time.Minute, Stuck: time.Hour, Stopping: time.Minute}

// mustServeLimited is like [mustServeSecurely], with limits.
func mustServeLimited(t *testing.T, store ticket.Store, security rpc.Security, limits watch.Limits, streams rpc.StreamLimits) *server {
	t.Helper()
	s := &server{log: &logBuffer{}}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.listen(t, rpc.NewLimited(store, log, limits, streams), security, log)
	return s
}

// uncompressed saves tests the time to compress many megabytes.
var uncompressed = connect.WithAcceptCompression("gzip", nil, nil)

// fill records tickets that are, together and compressed, larger than the buffers between a service and a caller that does not read.
func fill(t *testing.T, store ticket.Store) {
	t.Helper()
	noise := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	for i := range 16 {
		mustRecord(t, store, titled(fmt.Sprint("large", i), fmt.Sprint("large", i), 1, base64.StdEncoding.EncodeToString(noise)))
	}
}

// nextChange returns the next message that is not a heartbeat, in the form of [said].
func (s *stream) nextChange(t *testing.T) string {
	t.Helper()
	for {
		if message := s.next(t); message != "heartbeat" {
			return message
		}
	}
}

// readSnapshot reads until the snapshot is over. In the form of [said], heartbeats during the snapshot differ from the one after it.
func (s *stream) readSnapshot(t *testing.T) {
	t.Helper()
	for message := s.next(t); message != "heartbeat"; {
		message = s.next(t)
	}
}

func TestWatchTickets_slowReader(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			store := mustOpenStore(t)
			mustRecord(t, store, titled("e1", "a", 1, "one"), titled("e2", "b", 2, "two"))
			streams := patient
			streams.Slow = time.Nanosecond
			c := newClient(t, mustServeLimited(t, store, rpc.Security{}, watch.DefaultLimits(), streams), protocol)
			s := mustWatch(t, c, "", nil)
			s.expect(t, `a "one"`)
			s.expectEnd(t, connect.CodeResourceExhausted)
			again := mustWatch(t, c, s.token, nil)
			again.expect(t, `b "two"`)
			again.expectEnd(t, connect.CodeResourceExhausted)
		})
	}
}

// TestWatchTickets_stuckReader has a caller of each protocol that reads nothing, while others must get everything.
func TestWatchTickets_stuckReader(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	fill(t, store)
	limits, streams := watch.DefaultLimits(), patient
	// A busy machine needs enough time for the callers that read: they must begin within the time between two heartbeats, and they are cut off
	// too if they do not get a message in time.
	limits.Watchers, limits.Heartbeat, streams.Stuck = 2*len(protocols), 2*time.Second, 6*time.Second
	s := mustServeLimited(t, store, rpc.Security{}, limits, streams)
	var stuck, others []*stream
	names := slices.Sorted(maps.Keys(protocols))
	for _, protocol := range names {
		stuck = append(stuck, mustWatch(t, newClient(t, s, protocol, uncompressed), "", nil))
		other := mustWatch(t, newClient(t, s, protocol), "", &ticketv1.TicketFilter{AssigneeId: "u"})
		other.readSnapshot(t)
		others = append(others, other)
	}
	const events = 300
	var watching sync.WaitGroup
	for _, other := range others {
		watching.Go(func() {
			for received := 0; received < events; {
				switch got := other.Receive(); {
				case got && other.Msg().GetHeartbeat() != nil:
				case got && other.Msg().GetChange().GetEvent().GetEventId() == fmt.Sprint("e", received):
					received++
				default:
					t.Errorf("instead of event %d it gets %s, %v", received, said(other.Msg()), other.Err())
					return
				}
			}
		})
	}
	for i := range events {
		c := titled(fmt.Sprint("e", i), "t", int64(i), "x")
		c.Fields, c.Values.AssigneeID = c.Fields.With(assigneeID), "u"
		mustRecord(t, store, c)
	}
	watching.Wait()
	if t.Failed() {
		return
	}
	// Their slots are free after they are cut off, and not before: until then there would be one watcher too many.
	for free := 0; free < len(stuck); {
		others[0].next(t)
		extra := mustWatch(t, newClient(t, s, "gRPC"), "", &ticketv1.TicketFilter{AssigneeId: "nobody"})
		if extra.Receive() {
			free++
		} else if connect.CodeOf(extra.Err()) != connect.CodeResourceExhausted {
			t.Fatal(extra.Err())
		}
	}
	patientServer := mustServe(t, store)
	for i, protocol := range names {
		for stuck[i].Receive() {
			stuck[i].token = stuck[i].Msg().GetResumeToken()
		}
		if stuck[i].Err() == nil {
			t.Error("a stream that was stuck ended without an error")
		}
		// A watcher can resume from its last token.
		again := mustWatch(t, newClient(t, patientServer, protocol, uncompressed), stuck[i].token, nil)
		for id := ""; id != "t"; {
			again.nextChange(t)
			id = again.Msg().GetChange().GetTicket().GetTicketId()
		}
	}
}

var assigneeID, _ = ticket.ParseField("assignee_id")

func TestServer_Stop_stuckReaders(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	fill(t, store)
	streams := patient
	streams.Stopping = 100 * time.Millisecond
	s := mustServeLimited(t, store, rpc.Security{}, watch.DefaultLimits(), streams)
	for protocol := range protocols {
		mustWatch(t, newClient(t, s, protocol, uncompressed), "", nil).next(t)
	}
	begin := time.Now()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// TestServer_Stop_streamsEndWithAResumeToken stops a service with 1,000 watchers.
func TestServer_Stop_streamsEndWithAResumeToken(t *testing.T) {
	t.Parallel()
	const watchers = 1000
	store := mustOpenStore(t)
	mustRecord(t, store, titled("e1", "a", 1, "one"))
	s := mustServeLimited(t, store, rpc.Security{WatchersPerToken: watchers}, watch.DefaultLimits(), patient)
	c := newClient(t, s, "gRPC")
	streams := make([]*stream, watchers)
	var beginning sync.WaitGroup
	for i := range streams {
		streams[i] = mustWatch(t, c, "", nil)
		beginning.Go(func() {
			for range 2 {
				streams[i].Receive()
			}
		})
	}
	beginning.Wait()
	mustRecord(t, store, titled("e2", "a", 2, "two"))
	begin := time.Now()
	var ending sync.WaitGroup
	for _, one := range streams {
		ending.Go(func() {
			last := ""
			for one.Receive() {
				one.token, last = one.Msg().GetResumeToken(), said(one.Msg())
			}
			if connect.CodeOf(one.Err()) != connect.CodeUnavailable || !strings.Contains(one.Err().Error(), "resume") || last != "heartbeat" {
				t.Errorf("the stream ends with %v after %s, want UNAVAILABLE after a heartbeat", one.Err(), last)
			}
		})
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	took := time.Since(begin)
	ending.Wait()
	t.Logf("stopping with %d watchers took %v", watchers, took)
	if took > 5*time.Second {
		t.Errorf("stopping with %d watchers took %v", watchers, took)
	}
	mustRecord(t, store, titled("e3", "a", 3, "three"))
	c = newClient(t, mustServe(t, store), "gRPC")
	for _, one := range streams[:20] {
		again := mustWatch(t, c, one.token, nil)
		if got := again.next(t); got == `2 e2: a "three"` {
			got = again.next(t)
			if got != `3 e3: a "three"` {
				t.Errorf("it goes on with %s", got)
			}
		} else if got != `3 e3: a "three"` {
			t.Errorf("it goes on with %s", got)
		}
	}
}

func TestWatchTickets_endsWithTheCallersToken(t *testing.T) {
	t.Parallel()
	set := func(current *credentials.Current, entries ...string) {
		parsed, err := credentials.Parse(entries)
		if err != nil {
			t.Fatal(err)
		}
		current.Set(parsed)
	}
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			store := mustOpenStore(t)
			current := &credentials.Current{}
			set(current, "read="+tokens["read"], "read=another-token-of-a-service", "admin="+tokens["admin"])
			limits := watch.DefaultLimits()
			limits.Heartbeat = 10 * time.Millisecond
			s := mustServeLimited(t, store, rpc.Security{Tokens: current}, limits, patient)
			streams := map[string]*stream{}
			for name, token := range map[string]string{"read": tokens["read"], "other": "another-token-of-a-service", "admin": tokens["admin"]} {
				streams[name] = mustWatch(t, newClient(t, s, protocol, connect.WithInterceptors(shows(token))), "", nil)
				streams[name].readSnapshot(t)
			}
			// One token is removed, and one gets another scope.
			set(current, "read=another-token-of-a-service", "ingest="+tokens["admin"])
			for name, want := range map[string]connect.Code{"read": connect.CodeUnauthenticated, "admin": connect.CodePermissionDenied} {
				ending := streams[name]
				for ending.Receive() {
				}
				if connect.CodeOf(ending.Err()) != want {
					t.Errorf("the stream of the token %s ends with %v, want %v", name, ending.Err(), want)
				}
			}
			mustRecord(t, store, titled("e1", "a", 1, "one"))
			if got := streams["other"].nextChange(t); got != `1 e1: a "one"` {
				t.Errorf("the stream of the token that still counts says %s", got)
			}
		})
	}
}

func TestWatchTickets_endsAtTheDeadline(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := mustServe(t, mustOpenStore(t))
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			got, err := newClient(t, s, protocol).WatchTickets(ctx, &ticketv1.WatchTicketsRequest{})
			if connect.CodeOf(err) == connect.CodeDeadlineExceeded {
				return // On a busy machine the deadline can pass before the stream begins.
			}
			if err != nil {
				t.Fatal(err)
			}
			for got.Receive() {
			}
			if connect.CodeOf(got.Err()) != connect.CodeDeadlineExceeded {
				t.Errorf("the stream ends with %v, want DEADLINE_EXCEEDED", got.Err())
			}
			_ = got.Close()
		})
	}
}

func TestWatchTickets_tooMany(t *testing.T) {
	t.Parallel()
	limits := watch.DefaultLimits()
	limits.Watchers = 1
	c := newClient(t, mustServeLimited(t, mustOpenStore(t), rpc.Security{}, limits, patient), "gRPC")
	mustWatch(t, c, "", nil).expect(t, "heartbeat")
	mustWatch(t, c, "", nil).expectEnd(t, connect.CodeResourceExhausted)
}

func TestWatchTickets_invalidFilter(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, mustOpenStore(t)), "gRPC")
	mustWatch(t, c, "", &ticketv1.TicketFilter{Statuses: []ticketv1.TicketStatus{99}}).expectEnd(t, connect.CodeInvalidArgument)
}

// spoilt is a store in which one ticket can't be decoded.
type spoilt struct{ ticket.Store }

func (s spoilt) ReadLog(ctx context.Context, after int64, limit ticket.PageLimit) ([]ticket.Entry, error) {
	entries, err := s.Store.ReadLog(ctx, after, limit)
	for i := range entries {
		if id := entries[i].Event.TicketID; id == "spoilt" {
			entries[i].Ticket, entries[i].Err = nil, ticket.DecodeError(id, fmt.Errorf("stored bytes are malformed"))
		}
	}
	return entries, err
}

func TestWatchTickets_unreadableTicket(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	s := mustServe(t, spoilt{store})
	stream := mustWatch(t, newClient(t, s, "gRPC"), "", nil)
	stream.expect(t, "heartbeat")
	mustRecord(t, store, titled("e1", "a", 1, "one"), titled("e2", "spoilt", 2, personal), titled("e3", "a", 3, "three"))
	stream.expect(t, `1 e1: a "three"`)
	stream.expectEnd(t, connect.CodeDataLoss)
	if log := s.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "spoilt") || strings.Contains(log, personal) {
		t.Errorf("log %q, want an error with the ticket's id, and nothing personal", log)
	}
}

// TestWatchTickets_databaseGoesAway has PostgreSQL become unavailable and available again.
func TestWatchTickets_databaseGoesAway(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	proxy, through := postgresql.NewProxy(t, url)
	open := func(url string) ticket.Store {
		store, err := postgres.Open(t.Context(), url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	direct := open(url)
	limits := watch.DefaultLimits()
	limits.Heartbeat, limits.Poll = 50*time.Millisecond, 50*time.Millisecond
	s := mustServeLimited(t, open(through), rpc.Security{}, limits, patient)
	c := newClient(t, s, "gRPC")
	stream := mustWatch(t, c, "", nil)
	stream.readSnapshot(t)
	mustRecord(t, direct, titled("e1", "a", 1, "one"))
	stream.nextChange(t)
	var cut atomic.Bool
	proxy.Cut(postgresql.Cut{Times: 1, Before: func([]byte) bool { cut.Store(true); return true }, Refuse: true})
	// The stream must end, because it would not notice events that other replicas record.
	for stream.Receive() {
		if stream.token = stream.Msg().GetResumeToken(); stream.Msg().GetHeartbeat() == nil {
			t.Fatalf("the stream says %s", said(stream.Msg()))
		}
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnavailable || !cut.Load() {
		t.Fatalf("the stream ends with %v, want UNAVAILABLE", stream.Err())
	}
	mustRecord(t, direct, titled("e2", "a", 2, "two"))
	mustWatch(t, c, "", nil).expectEnd(t, connect.CodeUnavailable)
	proxy.Restore()
	// The stream may be rejected some more times, until the service is connected again.
	got := ""
	for got == "" {
		again := mustWatch(t, c, stream.token, nil)
		for got == "" && again.Receive() {
			if again.Msg().GetHeartbeat() == nil {
				got = said(again.Msg())
			}
		}
		if got == "" && connect.CodeOf(again.Err()) != connect.CodeUnavailable {
			t.Fatal(again.Err())
		}
		again.end()
	}
	if got != `2 e2: a "two"` {
		t.Errorf("it goes on with %s", got)
	}
	for _, want := range []string{"the feed can't read the event log", "the feed reads the event log again"} {
		if log := s.log.String(); !strings.Contains(log, want) {
			t.Errorf("log %q, want that %s", log, want)
		}
	}
}
