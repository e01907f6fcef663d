package rpc_test

import (
	"context"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// stubStore is a store that calls its function for every call.
type stubStore struct {
	ticket.Store
	call func(context.Context) error
}

func (s stubStore) Append(ctx context.Context, changes []ticket.Change) ([]ticket.AppendResult, error) {
	return make([]ticket.AppendResult, len(changes)), s.call(ctx)
}

func (s stubStore) LastPosition(ctx context.Context) (ticket.LogPosition, error) {
	return ticket.LogPosition{}, s.call(ctx)
}

func (s stubStore) PositionsAt(ctx context.Context, _ []int64) (map[int64]ticket.LogPosition, error) {
	return nil, s.call(ctx)
}

func (s stubStore) Get(ctx context.Context, _ string, _ ticket.MemoryBudget) (ticket.Ticket, error) {
	return ticket.Ticket{}, s.call(ctx)
}

func (s stubStore) BatchGet(ctx context.Context, _ []string, _ int, _ ticket.MemoryBudget) (map[string]ticket.Ticket, error) {
	return nil, s.call(ctx)
}

func (s stubStore) List(ctx context.Context, _ ticket.Filter, _ ticket.Order, _ *ticket.Cursor, _ ticket.PageLimit,
) ([]ticket.Ticket, bool, error) {
	return nil, false, s.call(ctx)
}

func (s stubStore) Stats(ctx context.Context, _ ticket.Filter) (ticket.Stats, error) {
	return ticket.Stats{}, s.call(ctx)
}

type failingStore struct{ stubStore }

func (stubStore) DatabaseID() ticket.DatabaseID { return ticket.DatabaseID{1} }

func (stubStore) Subscribe(ctx context.Context, _ func(), _ func(error)) { <-ctx.Done() }

func (failingStore) Append(_ context.Context, changes []ticket.Change) ([]ticket.AppendResult, error) {
	recorded := make([]ticket.AppendResult, len(changes))
	for i := range recorded {
		recorded[i].Err = ticket.ErrCorrupt
	}
	return recorded, nil
}
