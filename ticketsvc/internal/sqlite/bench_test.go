//go:build unix

package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func BenchmarkRecord(b *testing.B) {
	tickettest.BenchmarkRecord(b, func(b *testing.B) ticket.Store {
		store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "tickets.db"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = store.Close() })
		return store
	})
}
