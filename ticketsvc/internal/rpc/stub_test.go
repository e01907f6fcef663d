package rpc_test

import (
	"context"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// stubStore answers every call by its function.
type stubStore struct {
	ticket.Store
	call func(context.Context) error
}

func (s stubStore) Record(ctx context.Context, changes []ticket.Change) ([]ticket.Recorded, error) {
	return make([]ticket.Recorded, len(changes)), s.call(ctx)
}

func (s stubStore) LastMark(ctx context.Context) (ticket.Mark, error) {
	return ticket.Mark{}, s.call(ctx)
}

func (s stubStore) MarksAt(ctx context.Context, _ []int64) (map[int64]ticket.Mark, error) {
	return nil, s.call(ctx)
}

func (s stubStore) Get(ctx context.Context, _ string, _ ticket.Room) (ticket.Ticket, error) {
	return ticket.Ticket{}, s.call(ctx)
}

func (s stubStore) BatchGet(ctx context.Context, _ []string, _ int, _ ticket.Room) (map[string]ticket.Ticket, error) {
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

func (stubStore) Watch(ctx context.Context, _ func(), _ func(error)) { <-ctx.Done() }

func (failingStore) Record(_ context.Context, changes []ticket.Change) ([]ticket.Recorded, error) {
	recorded := make([]ticket.Recorded, len(changes))
	for i := range recorded {
		recorded[i].Err = ticket.ErrCorrupt
	}
	return recorded, nil
}
