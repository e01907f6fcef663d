package tickettest

import (
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// WithoutLongReads checks that a store answers short reads, and appends, while it has no connection for long reads. block takes all these
// connections until the end of the test.
func WithoutLongReads(t *testing.T, store ticket.Store, block func()) {
	t.Helper()
	mustRecord(t, store, titled("e1", "a", 1, "one"))
	block()
	if got, err := store.Get(t.Context(), "a", nil); err != nil || got.Title != "one" {
		t.Errorf("Get = %v, %v", got, err)
	}
	if err := store.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
	last, err := store.LastPosition(t.Context())
	if err != nil || last.Sequence != 1 {
		t.Errorf("LastPosition = %v, %v; want the first event's", last, err)
	}
	if position, err := store.PositionAt(t.Context(), 1); err != nil || position != last {
		t.Errorf("PositionAt = %v, %v; want %v", position, err, last)
	}
	if entries, err := store.ReadLog(t.Context(), 0, ticket.PageLimit{Items: 10, Bytes: 1 << 20}); err != nil || len(entries) != 1 {
		t.Errorf("ReadLog = %v, %v; want one entry", entries, err)
	}
	if _, err := store.Append(t.Context(), []ticket.Change{titled("e2", "a", 2, "two")}); err != nil {
		t.Errorf("Append = %v", err)
	}
}
