package sqlite_test

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
)

// arrivals returns n good arrivals of new events with bodies of about 1.6 kB.
func arrivals(n int) []inbox.Arrival {
	made := make([]inbox.Arrival, n)
	for i := range made {
		body := make([]byte, 1600)
		_, _ = rand.Read(body)
		made[i] = inbox.Arrival{EventID: fmt.Sprintf("%x-%x", body[:8], body[8:16]), EventName: "ticket.created", TicketID: fmt.Sprintf("%x", body[16:28]),
			ReceiveTime: time.Now(), Body: body, BodyHash: sha256.Sum256(body), Headers: inbox.Headers{SignatureTimestamp: "1700000000000", ContentType: "application/json"}}
	}
	return made
}

func mustOpen(tb testing.TB) *sqlite.Store {
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
}

// BenchmarkDelivery measures what one delivery costs the store: to keep it, to claim it, and to settle it.
func BenchmarkDelivery(b *testing.B) {
	const batch = 256
	perDelivery := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/delivery")
	}
	b.Run("add", func(b *testing.B) {
		store := mustOpen(b)
		for b.Loop() {
			b.StopTimer()
			made := arrivals(batch)
			b.StartTimer()
			if _, err := store.Add(b.Context(), made); err != nil {
				b.Fatal(err)
			}
		}
		perDelivery(b)
	})
	b.Run("claim and settle", func(b *testing.B) {
		store := mustOpen(b)
		for b.Loop() {
			b.StopTimer()
			if _, err := store.Add(b.Context(), arrivals(batch)); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			claimed, err := store.Claim(b.Context(), time.Now(), time.Minute, batch)
			if err != nil || len(claimed) != batch {
				b.Fatalf("claimed %d, %v", len(claimed), err)
			}
			settlements := make([]inbox.Settlement, len(claimed))
			for i, d := range claimed {
				settlements[i] = inbox.Settlement{Lease: d.Lease, State: inbox.Forwarded}
			}
			if lost, err := store.Settle(b.Context(), time.Now(), settlements); err != nil || lost != 0 {
				b.Fatalf("lost %d, %v", lost, err)
			}
		}
		perDelivery(b)
	})
}
