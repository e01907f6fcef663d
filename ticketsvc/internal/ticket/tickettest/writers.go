package tickettest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// testConcurrentWriters has two concurrent writers for each event.
func testConcurrentWriters(t *testing.T, env Env) {
	open := stores(t, env, 2)
	const writers, each = 8, 20
	var running sync.WaitGroup
	var mu sync.Mutex
	effects := 0
	for writer := range writers {
		running.Go(func() {
			for i := range each {
				recorded, err := open[writer%2].Append(t.Context(), []ticket.Change{
					titled(fmt.Sprintf("e%d-%d", writer/2, i), fmt.Sprintf("t%d", i%3), int64(i), fmt.Sprintf("%d-%d", writer/2, i))})
				if err != nil || recorded[0].Err != nil {
					t.Errorf("Append = %v, %v", recorded, err)
					return
				}
				if !recorded[0].Duplicate {
					mu.Lock()
					effects++
					mu.Unlock()
				}
			}
		})
	}
	running.Wait()
	if want := writers / 2 * each; effects != want {
		t.Errorf("%d events had an effect, want each of %d once", effects, want)
	}
	var revisions int64
	for i := range 3 {
		revisions += mustGet(t, open[0], fmt.Sprintf("t%d", i)).Revision
	}
	if revisions != writers/2*each {
		t.Errorf("the tickets count %d events, want %d", revisions, writers/2*each)
	}
}

// testCrossedBatches has two concurrent writers for each event. Their batches have the same tickets in different orders. No writer may
// fail, whichever of them waits for the other.
func testCrossedBatches(t *testing.T, env Env) {
	open := stores(t, env, 2)
	const writers, batches, events, tickets, ticketsOfBatch = 8, 30, 10, 12, 5
	random := rand.New(rand.NewPCG(5, 6))
	shuffled := func(batch []ticket.Change) []ticket.Change {
		batch = slices.Clone(batch)
		random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		return batch
	}
	byTicket := map[string][]ticket.Change{}
	ofWriter := make([][][]ticket.Change, writers)
	for pair := range writers / 2 {
		for number := range batches {
			var batch []ticket.Change
			drawn := random.Perm(tickets)[:ticketsOfBatch]
			for i := range events {
				id := fmt.Sprintf("%d-%d-%d", pair, number, i)
				c := titled("e"+id, fmt.Sprintf("t%d", drawn[i%ticketsOfBatch]), random.Int64N(20), id)
				batch = append(batch, c)
				byTicket[c.TicketID] = append(byTicket[c.TicketID], c)
			}
			ofWriter[2*pair] = append(ofWriter[2*pair], shuffled(batch))
			ofWriter[2*pair+1] = append(ofWriter[2*pair+1], shuffled(batch))
		}
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	effects := map[string]int{}
	for writer, own := range ofWriter {
		running.Go(func() {
			for _, batch := range own {
				recorded, err := open[writer%2].Append(t.Context(), batch)
				if err != nil {
					t.Errorf("Append = %v", err)
					return
				}
				mu.Lock()
				for i := range recorded {
					if recorded[i].Err != nil {
						t.Errorf("event %s: %v", batch[i].EventID, recorded[i].Err)
					} else if !recorded[i].Duplicate {
						effects[batch[i].EventID]++
					}
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	for id, changes := range byTicket {
		for _, c := range changes {
			if effects[c.EventID] != 1 {
				t.Errorf("event %s had an effect %d times", c.EventID, effects[c.EventID])
			}
		}
		if diff := cmp.Diff(merged(changes...), mustGet(t, open[0], id)); diff != "" {
			t.Error(diff)
		}
		if got := allEvents(t, open[0], id, 1000); len(got) != len(changes) {
			t.Errorf("the log has %d events of %s, want %d", len(got), id, len(changes))
		}
	}
	const all = writers / 2 * batches * events
	if diff := cmp.Diff(numbers(1, all), sequences(readLog(t, open[1], 500))); diff != "" {
		t.Error(diff)
	}
}
