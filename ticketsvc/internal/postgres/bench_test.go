//go:build unix

package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func BenchmarkAppend(b *testing.B) { tickettest.BenchmarkAppend(b, openNewForBenchmark) }

func BenchmarkSearch(b *testing.B) { tickettest.BenchmarkSearch(b, openNewForBenchmark) }

func BenchmarkStats(b *testing.B) {
	tickettest.BenchmarkStats(b, func(b *testing.B) (ticket.Store, func()) {
		url := postgresql.Database(b)
		// Autovacuum does the same within a minute.
		return openForBenchmark(b, url), func() { postgresql.Execute(b, url, "VACUUM ANALYZE ticketsvc.tickets") }
	})
}

func openNewForBenchmark(b *testing.B) ticket.Store {
	b.Helper()
	return openForBenchmark(b, postgresql.Database(b))
}

func openForBenchmark(b *testing.B, url string) ticket.Store {
	b.Helper()
	store := mustOpen(b, url)
	b.Cleanup(func() { _ = store.Close() })
	return store
}

// BenchmarkOrdering measures the cost of the log's order: the number of events per second that writers on two replicas record with it,
// relative to the number if a sequence numbers the events, without a lock. Each writer has its own tickets, so writers wait for each other
// only at the log. Two writers are like two replicas, which record one batch after the other. Eight are like as many replicas.
//
// Each iteration measures both, one after the other, with alternating order. The benchmark reports the medians of all iterations, so give a
// number of iterations, such as -benchtime 7x. With -short the iterations are too short for a result.
func BenchmarkOrdering(b *testing.B) {
	for _, writers := range []int{2, 8} {
		for _, size := range []int{64, 256} {
			b.Run(fmt.Sprintf("writers=%d/batch=%d", writers, size), func(b *testing.B) {
				ordered := newLogWriters(b, writers, size, func(string, *postgres.Store) {})
				unordered := newLogWriters(b, writers, size, func(url string, store *postgres.Store) {
					postgresql.Execute(b, url, "CREATE SEQUENCE IF NOT EXISTS ticketsvc.naive")
					store.NumberBySequence("ticketsvc.naive")
				})
				// The first batches open connections, and let the server read its catalogue.
				ordered.record(b)
				unordered.record(b)
				var ratios, orderedRates, unorderedRates []float64
				for reverse := false; b.Loop(); reverse = !reverse {
					var orderedRate, unorderedRate float64
					if reverse {
						unorderedRate = unordered.record(b)
						orderedRate = ordered.record(b)
					} else {
						orderedRate = ordered.record(b)
						unorderedRate = unordered.record(b)
					}
					ratios = append(ratios, orderedRate/unorderedRate)
					orderedRates, unorderedRates = append(orderedRates, orderedRate), append(unorderedRates, unorderedRate)
				}
				b.ReportMetric(median(ratios), "ordered/unordered")
				b.ReportMetric(median(orderedRates), "ordered-events/s")
				b.ReportMetric(median(unorderedRates), "unordered-events/s")
				b.ReportMetric(0, "ns/op") // It would be the time of both together.
			})
		}
	}
}

// logWriters record events at the same time, in their own database.
type logWriters struct {
	replicas [2]*postgres.Store
	// next is the number of each writer's next event.
	next []int
	// size is the size of a batch. events is the number of events that all writers together record at a time.
	size, events int
}

// newLogWriters opens a new database for writers that record batches of this size. prepare is called for each replica.
func newLogWriters(b *testing.B, writers, size int, prepare func(url string, store *postgres.Store)) *logWriters {
	b.Helper()
	// About a second's work, or one batch of the maximum size for each of the maximum number of writers.
	events := 16384
	if testing.Short() {
		events = 2048
	}
	w := &logWriters{next: make([]int, writers), size: size, events: events}
	url := postgresql.Database(b)
	for i := range w.replicas {
		store := mustOpen(b, url)
		b.Cleanup(func() { _ = store.Close() })
		prepare(url, store)
		w.replicas[i] = store
	}
	return w
}

// record lets each writer record its share of the events, and returns the number of events per second.
func (w *logWriters) record(b *testing.B) (rate float64) {
	b.Helper()
	begin := time.Now()
	group, ctx := errgroup.WithContext(b.Context())
	for writer := range w.next {
		group.Go(func() error {
			batch := make([]ticket.Change, w.size)
			for range w.events / len(w.next) / w.size {
				for i := range batch {
					batch[i] = tickettest.ProviderChange(writer, w.next[writer])
					w.next[writer]++
				}
				recorded, err := w.replicas[writer%len(w.replicas)].Append(ctx, batch)
				if err != nil {
					return err
				}
				if recorded[0] != (ticket.AppendResult{LogEnd: recorded[0].LogEnd}) {
					return fmt.Errorf("event %s: %+v", batch[0].EventID, recorded[0])
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return float64(w.events) / time.Since(begin).Seconds()
}

// median returns the middle value, or the lower one of the two in the middle. It sorts the values.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
