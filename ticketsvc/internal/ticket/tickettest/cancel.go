package tickettest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// countdown is a context that ends when it is asked for the n-th time whether it has ended. So it can end a call at each point where the
// call asks.
type countdown struct {
	// The background context has no values. With values, package context would find an ancestor to ask instead.
	context.Context

	mu    sync.Mutex
	left  int
	ended chan struct{}
}

func newCountdown(n int) *countdown {
	return &countdown{Context: context.Background(), left: n, ended: make(chan struct{})}
}

// ask counts a question, and reports whether the context has ended.
func (c *countdown) ask() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left == 0 {
		close(c.ended)
	}
	return c.left <= 0
}

func (c *countdown) Done() <-chan struct{} {
	c.ask()
	return c.ended
}

func (c *countdown) Err() error {
	if c.ask() {
		return context.Canceled
	}
	return nil
}

// hasEnded reports whether the context has ended. It does not count as a question.
func (c *countdown) hasEnded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left <= 0
}

// maxQuestions is above the number of questions of any call.
const maxQuestions = 10_000

// cancelEverywhere makes calls whose contexts end at the first question, the second, and so on. It stops when a call returns before its
// context has ended. n is the number of the call.
func cancelEverywhere(t *testing.T, call func(ctx context.Context, n int) error) {
	t.Helper()
	for n := 1; n < maxQuestions; n++ {
		ctx := newCountdown(n)
		err := call(ctx, n)
		if err != nil && (!errors.Is(err, context.Canceled) || !ctx.hasEnded()) {
			t.Fatalf("ended at question %d: %v, want the context's error", n, err)
		}
		if t.Failed() || err == nil && !ctx.hasEnded() {
			return
		}
	}
	t.Fatalf("the call asks more than %d times", maxQuestions)
}

func testCancelledAppend(t *testing.T, env Env) {
	store := mustOpen(t, env)
	changes := map[string][]ticket.Change{}
	var last int64
	cancelEverywhere(t, func(ctx context.Context, n int) error {
		var batch []ticket.Change
		for i, id := range []string{"a", "b", fmt.Sprintf("new%d", n), "a"} {
			c := titled(fmt.Sprintf("e%d-%d", n, i), id, int64(n), fmt.Sprint(n))
			batch = append(batch, c)
			changes[id] = append(changes[id], c)
		}
		recorded, err := store.Append(ctx, batch)
		if err == nil {
			expectAll(t, ticket.AppendResult{}, recorded)
		}
		log := mustReadLog(t, store, last)
		if len(log) != len(batch) && (err == nil || len(log) != 0) {
			t.Errorf("%d events of the batch are recorded after %v, want all or none", len(log), err)
		}
		// After an error it is not known whether the batch is recorded. A second call reports it.
		again, againErr := store.Append(t.Context(), batch)
		if againErr != nil {
			t.Fatalf("the store after %v: %v", err, againErr)
		}
		if len(log) != 0 || again[0].Duplicate {
			expectAll(t, ticket.AppendResult{Duplicate: true}, again)
		} else {
			expectAll(t, ticket.AppendResult{}, again)
		}
		if diff := cmp.Diff(numbers(last+1, last+int64(len(batch))), sequences(mustReadLog(t, store, last))); diff != "" {
			t.Error(diff)
		}
		last += int64(len(batch))
		for _, c := range batch {
			got := mustGet(t, store, c.TicketID)
			if diff := cmp.Diff(merged(changes[c.TicketID]...), got); diff != "" {
				t.Error(diff)
			}
			if events := allEvents(t, store, c.TicketID, 1000); int64(len(events)) != got.Revision {
				t.Errorf("ticket %s counts %d events, and the log has %d", c.TicketID, got.Revision, len(events))
			}
		}
		return err
	})
}

func expectAll(t *testing.T, want ticket.AppendResult, recorded []ticket.AppendResult) {
	t.Helper()
	for i := range recorded {
		if !cmp.Equal(recorded[i], want, ignoreLogEnd) {
			t.Errorf("change %d: %+v, want %+v as for the whole batch", i, recorded[i], want)
		}
	}
}

func mustReadLog(t *testing.T, store ticket.Store, after int64) []ticket.Event {
	t.Helper()
	page, err := store.ReadLog(t.Context(), after, entries(1000))
	if err != nil {
		t.Fatal(err)
	}
	return Events(t, page)
}

func testCancelledReads(t *testing.T, env Env) {
	store := mustOpen(t, env)
	var ids []string
	for i := range 40 {
		id := fmt.Sprintf("t%d", i%20)
		ids = append(ids, id)
		mustRecord(t, store, titled(fmt.Sprintf("e%d", i), id, int64(i), fmt.Sprint(i)))
	}
	type page struct {
		Tickets []ticket.Ticket
		Events  []ticket.Event
		More    bool
	}
	order := ticket.Order{}
	after := order.Cursor(&ticket.Ticket{ID: "t0", UpdateTime: At(20)})
	for name, read := range map[string]func(ctx context.Context) (any, error){
		"Get":      func(ctx context.Context) (any, error) { return store.Get(ctx, "t1", nil) },
		"BatchGet": func(ctx context.Context) (any, error) { return store.BatchGet(ctx, ids[:20], 1<<20, nil) },
		"List": func(ctx context.Context) (any, error) {
			tickets, more, err := store.List(ctx, ticket.Filter{}, order, &after, entries(10))
			return page{Tickets: tickets, More: more}, err
		},
		"ListEvents": func(ctx context.Context) (any, error) {
			events, more, err := store.ListEvents(ctx, "t1", 0, entries(1))
			return page{Events: events, More: more}, err
		},
		"ReadLog":      func(ctx context.Context) (any, error) { return store.ReadLog(ctx, 10, entries(20)) },
		"LastPosition": func(ctx context.Context) (any, error) { return store.LastPosition(ctx) },
		"PositionAt":   func(ctx context.Context) (any, error) { return store.PositionAt(ctx, 3) },
		"PositionsAt":  func(ctx context.Context) (any, error) { return store.PositionsAt(ctx, []int64{1, 2, 3}) },
		"ReadSnapshot": func(ctx context.Context) (any, error) {
			return store.ReadSnapshot(ctx, ticket.Filter{}, "t1", entries(5))
		},
		"TicketBefore": func(ctx context.Context) (any, error) { return store.TicketBefore(ctx, "t1", 30, entries(10)) },
		"ListErasures": func(ctx context.Context) (any, error) { return store.ListErasures(ctx, ticket.LogPosition{}, 10) },
		"Stats":        func(ctx context.Context) (any, error) { return store.Stats(ctx, ticket.Filter{}) },
	} {
		want, err := read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cancelEverywhere(t, func(ctx context.Context, n int) error {
			got, err := read(ctx)
			if err != nil {
				return err
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, ended at question %d: %s", name, n, diff)
			}
			return nil
		})
	}
}
