package inboxtest

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// newIncoming returns n good deliveries of new events with bodies of about 1.6 kB.
func newIncoming(n int) []inbox.Incoming {
	made := make([]inbox.Incoming, n)
	for i := range made {
		body := make([]byte, 1600)
		_, _ = rand.Read(body)
		made[i] = inbox.Incoming{EventID: fmt.Sprintf("%x-%x", body[:8], body[8:16]), EventName: "ticket.created",
			TicketID: fmt.Sprintf("%x", body[16:28]), ReceiveTime: time.Now(), Body: body, BodyHash: sha256.Sum256(body),
			Headers: inbox.Headers{SignatureTimestamp: "1700000000000", ContentType: "application/json"}}
	}
	return made
}

// Benchmark measures the cost of one delivery for the store: to keep it, to claim it, and to finish it. open opens an empty store.
func Benchmark(b *testing.B, open func(testing.TB) inbox.Store) {
	const batch = 256
	perDelivery := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/delivery")
	}
	b.Run("add", func(b *testing.B) {
		store := open(b)
		for b.Loop() {
			b.StopTimer()
			made := newIncoming(batch)
			b.StartTimer()
			if _, err := store.Add(b.Context(), made); err != nil {
				b.Fatal(err)
			}
		}
		perDelivery(b)
	})
	b.Run("claim and finish", func(b *testing.B) {
		store := open(b)
		for b.Loop() {
			b.StopTimer()
			if _, err := store.Add(b.Context(), newIncoming(batch)); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			claimed, err := store.Claim(b.Context(), time.Now(), time.Minute, batch)
			if err != nil || len(claimed) != batch {
				b.Fatalf("claimed %d, %v", len(claimed), err)
			}
			outcomes := make([]inbox.Outcome, len(claimed))
			for i, d := range claimed {
				outcomes[i] = forwarded(d)
			}
			if lost, err := store.Finish(b.Context(), time.Now(), outcomes); err != nil || lost != 0 {
				b.Fatalf("lost %d, %v", lost, err)
			}
		}
		perDelivery(b)
	})
}
