package postgres_test

import (
	"context"
	"sync"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// TestStore_longReadsHoldUpNoOthers has many more reads that do not end than there are connections. All of them wait for the same lock.
func TestStore_longReadsHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	t.Cleanup(func() { _ = store.Close() })
	locking := postgresql.Connect(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	t.Cleanup(reading.Wait)
	t.Cleanup(cancel)
	tickettest.WithoutLongReads(t, store, func() {
		for _, statement := range []string{"begin", "LOCK TABLE ticketsvc.ticket_counts IN ACCESS EXCLUSIVE MODE"} {
			if _, err := locking.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		for range 64 {
			reading.Go(func() { _, _ = store.Stats(ctx, ticket.Filter{}) })
		}
		const waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
		watch := postgresql.Connect(t, url)
		for n := 0; n < 10; {
			if err := watch.QueryRow(t.Context(), waiting).Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
	})
}
