package tickettest

import (
	"context"
	"errors"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func testEndedContext(t *testing.T, env Env) {
	store := mustOpen(t, env)
	mustRecord(t, store, titled("e1", "t1", 1, "x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range callAll(ctx, store) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v, want context.Canceled", name, err)
		}
	}
	mustRecord(t, store, titled("never recorded", "t1", 1, "x"))
}

func testClosed(t *testing.T, env Env) {
	store := env.Open(t)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range callAll(t.Context(), store) {
		if !errors.Is(err, ticket.ErrUnavailable) {
			t.Errorf("%s of a closed store: %v, want ErrUnavailable", name, err)
		}
	}
}

// callAll returns the error of each method.
func callAll(ctx context.Context, store ticket.Store) map[string]error {
	errs := map[string]error{"Ping": store.Ping(ctx)}
	_, errs["Append"] = store.Append(ctx, []ticket.Change{titled("never recorded", "t1", 1, "x")})
	_, errs["Erase"] = store.Erase(ctx, "never erased")
	_, errs["Get"] = store.Get(ctx, "t1", nil)
	_, errs["BatchGet"] = store.BatchGet(ctx, []string{"t1"}, 1<<20, nil)
	_, _, errs["List"] = store.List(ctx, ticket.Filter{}, ticket.Order{}, nil, entries(10))
	_, _, errs["ListEvents"] = store.ListEvents(ctx, "t1", 0, entries(10))
	_, errs["ReadLog"] = store.ReadLog(ctx, 0, entries(10))
	_, errs["LastPosition"] = store.LastPosition(ctx)
	_, errs["PositionAt"] = store.PositionAt(ctx, 1)
	_, errs["PositionsAt"] = store.PositionsAt(ctx, []int64{1})
	_, errs["ReadSnapshot"] = store.ReadSnapshot(ctx, ticket.Filter{}, "", entries(10))
	_, errs["TicketBefore"] = store.TicketBefore(ctx, "t1", 2, entries(10))
	_, errs["Stats"] = store.Stats(ctx, ticket.Filter{})
	return errs
}
