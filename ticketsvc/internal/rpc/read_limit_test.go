package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// slowStats is a store whose Stats calls do not end before the test lets them go.
type slowStats struct {
	ticket.Store
	begun chan struct{}
	letGo chan struct{}
}

func (s slowStats) Stats(ctx context.Context, filter ticket.Filter) (ticket.Stats, error) {
	s.begun <- struct{}{}
	select {
	case <-s.letGo:
	case <-ctx.Done():
	}
	return s.Store.Stats(ctx, filter)
}

// openEngine opens a store of each engine.
var openEngine = map[string]func(t *testing.T) (ticket.Store, error){
	"SQLite": func(t *testing.T) (ticket.Store, error) {
		return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tickets.db"))
	},
	"PostgreSQL": func(t *testing.T) (ticket.Store, error) {
		return postgres.Open(t.Context(), postgresql.Database(t), nil)
	},
}

// TestReadLimit_oneCaller has 64 calls of one token for the statistics of a text, and no call ends. All other calls must
// be answered.
func TestReadLimit_oneCaller(t *testing.T) {
	t.Parallel()
	for engine, open := range openEngine {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			store, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			mustRecord(t, store, titled("e1", "a", 1, "one"))
			slow := slowStats{Store: store, begun: make(chan struct{}, 128), letGo: make(chan struct{})}
			s := mustServeSecurely(t, slow, rpc.Security{Tokens: mustCredentials(t)})
			stats := &ticketv1.GetTicketStatsRequest{Filter: &ticketv1.TicketFilter{Text: "one"}}
			greedy := newClient(t, s, "gRPC", connect.WithInterceptors(shows(tokens["read"])))
			ended := make(chan error, 64)
			var calling sync.WaitGroup
			for range 64 {
				calling.Go(func() {
					_, err := greedy.GetTicketStats(t.Context(), stats)
					ended <- err
				})
			}
			t.Cleanup(calling.Wait)
			for range rpc.MaxRunningReads() / 2 {
				<-slow.begun
			}
			for range 64 - rpc.MaxAdmittedReads/2 {
				if err := <-ended; connect.CodeOf(err) != connect.CodeResourceExhausted || retryDelay(t, err) == 0 {
					t.Errorf("a call too many: %v with the delay %v, want RESOURCE_EXHAUSTED with one", err, retryDelay(t, err))
				}
			}

			other := newClient(t, s, "gRPC", connect.WithInterceptors(shows(tokens["admin"])))
			for name, call := range map[string]func(client) error{
				"GetTicket": func(c client) error {
					_, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "a"})
					return err
				},
				"BatchGetTickets": func(c client) error {
					_, err := c.BatchGetTickets(t.Context(), &ticketv1.BatchGetTicketsRequest{TicketIds: []string{"a"}})
					return err
				},
				"ListTickets": func(c client) error {
					_, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{})
					return err
				},
				"ListTicketEvents": func(c client) error {
					_, err := c.ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{TicketId: "a"})
					return err
				},
			} {
				for whose, c := range map[string]client{"the caller's own": greedy, "another caller's": other} {
					if err := call(c); err != nil {
						t.Errorf("%s %s: %v", whose, name, err)
					}
				}
			}
			if _, err := other.TicketCreated(t.Context(), created("e2", "b", 1)); err != nil {
				t.Errorf("TicketCreated: %v", err)
			}
			if _, err := other.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{Filter: stats.GetFilter()}); err != nil {
				t.Errorf("another caller's expensive read: %v", err)
			}
			watcher := mustWatch(t, greedy, "", nil)
			watcher.readSnapshot(t)
			testHealth(t, s, newClient(t, s, "gRPC"))
			if err := store.Ping(t.Context()); err != nil {
				t.Errorf("Ping: %v", err)
			}
			if refusals := strings.Count(s.log.String(), "error=\"too many expensive reads"); refusals != 1 {
				t.Errorf("the refusals have %d lines in the log, want 1", refusals)
			}
			close(slow.letGo)
		})
	}
}

// TestReadLimit_largeResponsesWait has a caller that asks for large responses while its expensive reads run. The large responses must
// wait. Its small responses must not wait, and neither must another caller's large ones.
func TestReadLimit_largeResponsesWait(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	mustRecord(t, store, titled("e1", "small", 1, "small"))
	mustRecord(t, store, titled("e2", "large", 1, strings.Repeat("large ", 100_000)))
	slow := slowStats{Store: store, begun: make(chan struct{}, 128), letGo: make(chan struct{})}
	s := mustServeSecurely(t, slow, rpc.Security{Tokens: mustCredentials(t)})
	greedy := newClient(t, s, "gRPC", connect.WithInterceptors(shows(tokens["read"])))
	other := newClient(t, s, "gRPC", connect.WithInterceptors(shows(tokens["admin"])))
	var calling sync.WaitGroup
	for range rpc.MaxRunningReads() / 2 {
		calling.Go(func() {
			filter := &ticketv1.TicketFilter{Text: "large"}
			if _, err := greedy.GetTicketStats(t.Context(), &ticketv1.GetTicketStatsRequest{Filter: filter}); err != nil {
				t.Error(err)
			}
		})
		<-slow.begun
	}
	get := func(c client, ticketID string) error {
		_, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: ticketID})
		return err
	}
	var answered atomic.Int64
	for range rpc.MaxRunningCalls() {
		calling.Go(func() {
			switch err := get(greedy, "large"); {
			case err == nil:
				answered.Add(1)
			case connect.CodeOf(err) != connect.CodeResourceExhausted: // It may have waited for the maximum of 10 s.
				t.Error(err)
			}
		})
	}
	for range 20 {
		if err := errors.Join(get(greedy, "small"), get(other, "large")); err != nil {
			t.Fatal(err)
		}
	}
	if n := answered.Load(); n > 0 {
		t.Errorf("%d large answers beside the expensive read, want none", n)
	}
	close(slow.letGo)
	calling.Wait()
}

// TestReadLimit_largeResponsesAreComplete has a page that is a large response within the limit of a page.
func TestReadLimit_largeResponsesAreComplete(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	const tickets = 200
	for i := range tickets {
		mustRecord(t, store, titled(fmt.Sprint("e", i), fmt.Sprint("t", i), 1, strings.Repeat("large ", 500)))
	}
	c := newClient(t, mustServe(t, store), "gRPC")
	page, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{PageSize: tickets})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(page.GetTickets()); got != tickets || page.GetNextPageToken() != "" {
		t.Errorf("%d tickets, and the token %q for others, want %d and none", got, page.GetNextPageToken(), tickets)
	}
}

// TestWatchTickets_limitOfOneToken has a token with its maximum number of watchers.
func TestWatchTickets_limitOfOneToken(t *testing.T) {
	t.Parallel()
	s := mustServeLimited(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t), WatchersPerToken: 3}, watch.DefaultLimits(), patient)
	greedy := newClient(t, s, "gRPC", connect.WithInterceptors(shows(tokens["read"])))
	var first *stream
	for range 3 {
		first = mustWatch(t, greedy, "", nil)
		first.expect(t, "heartbeat")
	}
	for range 10 {
		mustWatch(t, greedy, "", nil).expectEnd(t, connect.CodeResourceExhausted)
	}
	other := newClient(t, s, "gRPC", connect.WithInterceptors(shows(tokens["admin"])))
	mustWatch(t, other, "", nil).expect(t, "heartbeat")
	if lines := strings.Count(s.log.String(), "error=\"the caller has too many watchers\""); lines != 1 {
		t.Errorf("10 refusals have %d lines in the log, want 1", lines)
	}
	// After one watcher has ended, another may begin.
	first.end()
	for {
		next := mustWatch(t, greedy, "", nil)
		if next.Receive() {
			return
		}
		if connect.CodeOf(next.Err()) != connect.CodeResourceExhausted {
			t.Fatal(fmt.Errorf("after the end of another: %w", next.Err()))
		}
	}
}

// TestWatchTickets_refusalIsDelayed has a token at its limit of watchers that asks for another one. It must get the error after a time, and
// must not delay others.
func TestWatchTickets_refusalIsDelayed(t *testing.T) {
	t.Parallel()
	streams := patient
	streams.RefusalDelay = time.Hour
	s := mustServeLimited(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t), WatchersPerToken: 1}, watch.DefaultLimits(), streams)
	greedy := newClient(t, s, "gRPC", connect.WithInterceptors(shows(tokens["read"])))
	mustWatch(t, greedy, "", nil).expect(t, "heartbeat")
	refused := make(chan error, rpc.MaxRunningCalls())
	for range rpc.MaxRunningCalls() {
		go func() {
			more, err := greedy.WatchTickets(t.Context(), &ticketv1.WatchTicketsRequest{})
			if err == nil {
				more.Receive()
				err = more.Err()
			}
			refused <- err
		}()
	}
	if _, err := greedy.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{}); err != nil {
		t.Errorf("while the others wait: %v", err)
	}
	select {
	case err := <-refused:
		t.Errorf("a watcher too many ended at once: %v", err)
	default:
	}
}

// TestWatchTickets_refusalsTakeMemory has a token at its limit of watchers that asks for more than the memory of all its calls allows.
// Calls that wait for their error must be counted too.
func TestWatchTickets_refusalsTakeMemory(t *testing.T) {
	t.Parallel()
	streams := patient
	streams.RefusalDelay = 10 * time.Minute
	s := mustServeLimited(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t), WatchersPerToken: 1}, watch.DefaultLimits(), streams)
	const connections, calls = 7, 220
	ended := make(chan error, connections*calls)
	for i := range connections {
		greedy := newClient(t, s, "gRPC", connect.WithInterceptors(shows(tokens["read"])))
		if i == 0 {
			mustWatch(t, greedy, "", nil).expect(t, "heartbeat")
		}
		for range calls {
			go func() {
				for {
					more, err := greedy.WatchTickets(t.Context(), &ticketv1.WatchTicketsRequest{})
					if err == nil {
						more.Receive()
						err = more.Err()
					}
					// On a busy machine a call may wait too long for its turn.
					if err == nil || !strings.Contains(err.Error(), "too many calls of one token") {
						ended <- err
						return
					}
				}
			}()
		}
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "too many large calls") {
		t.Errorf("%d watchers too many: the first one that ends gets %v, want that there is no memory for it", connections*calls, err)
	}
}
