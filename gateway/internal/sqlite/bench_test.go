package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
)

func BenchmarkDelivery(b *testing.B) {
	inboxtest.Benchmark(b, func(tb testing.TB) inbox.Store {
		tb.Helper()
		store, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "gateway.db"))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := store.Close(); err != nil {
				tb.Error(err)
			}
		})
		return store
	})
}
