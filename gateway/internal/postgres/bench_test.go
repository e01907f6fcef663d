package postgres_test

import (
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func BenchmarkDelivery(b *testing.B) {
	inboxtest.Benchmark(b, func(tb testing.TB) inbox.Store {
		tb.Helper()
		return mustOpen(tb, postgresql.Database(tb))
	})
}
