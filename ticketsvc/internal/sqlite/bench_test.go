//go:build unix

package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func BenchmarkAppend(b *testing.B) { tickettest.BenchmarkAppend(b, openForBenchmark) }

func BenchmarkSearch(b *testing.B) { tickettest.BenchmarkSearch(b, openForBenchmark) }

func BenchmarkStats(b *testing.B) {
	tickettest.BenchmarkStats(b, func(b *testing.B) (ticket.Store, func()) { return openForBenchmark(b), func() {} })
}

func openForBenchmark(b *testing.B) ticket.Store {
	b.Helper()
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "tickets.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	return store
}
