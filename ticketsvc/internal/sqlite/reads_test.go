package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// TestStore_longReadsHoldUpNoOthers has a long read that does not end on each connection for long reads.
func TestStore_longReadsHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	store := mustOpen(t, filepath.Join(t.TempDir(), "tickets.db"))
	t.Cleanup(func() { _ = store.Close() })
	tickettest.WithoutLongReads(t, store, func() {
		for range sqlite.Readers {
			conn, err := store.Reader().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	})
}
