package inboxtest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

const (
	// racers is the number of goroutines that call at the same time.
	racers = 8
	// shared is the number of stores that they use.
	shared = 3
)

// addAtOnce makes racers add their batches at the same moment, and returns the action for each delivery.
func addAtOnce(t *testing.T, stores []inbox.Store, batches [racers][]inbox.Incoming) (actions [racers][]inbox.Action) {
	t.Helper()
	start := make(chan struct{})
	var group sync.WaitGroup
	for i, batch := range batches {
		group.Go(func() {
			<-start
			var err error
			if actions[i], err = stores[i%len(stores)].Add(t.Context(), batch); err != nil || len(actions[i]) != len(batch) {
				t.Errorf("%d actions for %d deliveries, %v", len(actions[i]), len(batch), err)
			}
		})
	}
	close(start)
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return actions
}

func testSameEvent(t *testing.T, engine Engine) {
	const rounds = 200
	stores := engine.several(t, shared)
	for round := range rounds {
		var batches [racers][]inbox.Incoming
		for i := range batches {
			batches[i] = []inbox.Incoming{Incoming(fmt.Sprint(round), fmt.Sprint("body ", round))}
		}
		counts := map[inbox.Action]int{}
		for _, actions := range addAtOnce(t, stores, batches) {
			counts[actions[0]]++
		}
		if diff := cmp.Diff(map[inbox.Action]int{inbox.Insert: 1, inbox.Ignore: racers - 1}, counts); diff != "" {
			t.Fatal(diff)
		}
	}
	wantStates(t, engine, map[inbox.State]int{inbox.Pending: rounds})
}

// testSameEvents makes racers add the same events, each in its own order.
func testSameEvents(t *testing.T, engine Engine) {
	const rounds, events = 20, 25
	one := func(event string) []inbox.Incoming { return []inbox.Incoming{Incoming(event, "body of "+event)} }
	tests := map[string]struct {
		// incoming returns the deliveries of an event that a racer adds.
		incoming func(event string, racer int) []inbox.Incoming
		// check checks how often each action was taken for an event.
		check func(counts map[inbox.Action]int) bool
		// rejected is the maximum number of rejected deliveries of an event at the end.
		minRejected, maxRejected int
	}{
		"in other orders": {
			incoming: func(event string, _ int) []inbox.Incoming { return one(event) },
			check: func(counts map[inbox.Action]int) bool {
				return counts[inbox.Insert] == 1 && counts[inbox.Ignore] == racers-1
			},
		},
		"twice in a batch": {
			incoming: func(event string, _ int) []inbox.Incoming { return append(one(event), one(event)...) },
			check: func(counts map[inbox.Action]int) bool {
				return counts[inbox.Insert] == 1 && counts[inbox.Ignore] == 2*racers-1
			},
		},
		"with two bodies": {
			incoming: func(event string, racer int) []inbox.Incoming {
				return []inbox.Incoming{Incoming(event, fmt.Sprintf("body %d of %s", racer%2, event))}
			},
			check: func(counts map[inbox.Action]int) bool {
				return counts[inbox.Insert] == 1 && counts[inbox.Conflict] == 1 && counts[inbox.Ignore] == racers-2
			},
			minRejected: 1, maxRejected: 1,
		},
		"good and rejected": {
			incoming: func(event string, racer int) []inbox.Incoming {
				if racer%2 == 0 {
					return []inbox.Incoming{rejected(event, "body of "+event)}
				}
				return one(event)
			},
			check: func(counts map[inbox.Action]int) bool {
				return counts[inbox.Insert] == 1 && counts[inbox.Replace] <= 1 && counts[inbox.Conflict] == 0
			},
		},
		"good and rejected, with two bodies": {
			incoming: func(event string, racer int) []inbox.Incoming {
				switch racer % 4 {
				case 0, 1:
					return []inbox.Incoming{rejected(event, fmt.Sprintf("body %d of %s", racer%4, event))}
				default:
					return []inbox.Incoming{Incoming(event, fmt.Sprintf("body 1 of %s", event))}
				}
			},
			check:       func(counts map[inbox.Action]int) bool { return counts[inbox.Insert] == 1 && counts[inbox.Replace] <= 1 },
			maxRejected: 1,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stores := engine.several(t, shared)
			random := rand.New(rand.NewPCG(3, 4))
			for round := range rounds {
				var batches [racers][]inbox.Incoming
				for racer := range batches {
					for _, n := range random.Perm(events) {
						batches[racer] = append(batches[racer], test.incoming(fmt.Sprintf("%d of %d", n, round), racer)...)
					}
				}
				counts := map[string]map[inbox.Action]int{}
				for racer, actions := range addAtOnce(t, stores, batches) {
					for i, action := range actions {
						id := batches[racer][i].EventID
						if counts[id] == nil {
							counts[id] = map[inbox.Action]int{}
						}
						counts[id][action]++
					}
				}
				for id, count := range counts {
					if !test.check(count) {
						t.Fatalf("what happened with event %s: %v", id, count)
					}
				}
			}
			const all = rounds * events
			states := engine.States(t, "a")
			if n := states[inbox.Rejected]; states[inbox.Pending] != all || n < all*test.minRejected || n > all*test.maxRejected {
				t.Errorf("%d events left %d pending and %d rejected deliveries", all, states[inbox.Pending], n)
			}
		})
	}
}

func addEvents(t *testing.T, store inbox.Store, events int) {
	t.Helper()
	batch := make([]inbox.Incoming, events)
	for i := range batch {
		batch[i] = Incoming(fmt.Sprint(i), fmt.Sprint(i))
	}
	mustAdd(t, store, batch...)
}

func testConcurrentClaimers(t *testing.T, engine Engine) {
	const events = 400
	stores := engine.several(t, shared)
	addEvents(t, stores[0], events)
	var mu sync.Mutex
	times := map[int64]int{}
	var group sync.WaitGroup
	for i := range racers {
		store := stores[i%len(stores)]
		group.Go(func() {
			for {
				claimed, err := store.Claim(t.Context(), Epoch, lease, 7)
				if err != nil {
					t.Error(err)
				}
				if len(claimed) == 0 {
					return
				}
				outcomes := make([]inbox.Outcome, len(claimed))
				mu.Lock()
				for i, d := range claimed {
					times[d.ID]++
					outcomes[i] = forwarded(d)
				}
				mu.Unlock()
				if lost, err := store.Finish(t.Context(), Epoch, outcomes); lost != 0 || err != nil {
					t.Errorf("lost %d, %v", lost, err)
				}
			}
		})
	}
	group.Wait()
	// A claim may skip deliveries that another claim has locked.
	for _, d := range mustClaim(t, stores[0], Epoch, events) {
		times[d.ID]++
	}
	if len(times) != events {
		t.Errorf("%d deliveries were claimed, want %d", len(times), events)
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("delivery %d was claimed %d times", id, n)
		}
	}
}

// testConcurrentFinishers has a clock that runs so fast that leases end before they are used.
func testConcurrentFinishers(t *testing.T, engine Engine) {
	const events = 300
	stores := engine.several(t, shared)
	addEvents(t, stores[0], events)
	var ticks, finished, lost atomic.Int64
	var mu sync.Mutex
	claims := map[int64][]time.Time{}
	note := func(claimed []inbox.Delivery, now time.Time) {
		mu.Lock()
		defer mu.Unlock()
		for _, d := range claimed {
			for _, before := range claims[d.ID] {
				if now.Sub(before).Abs() < lease {
					t.Errorf("delivery %d was claimed at %v and at %v, with leases of %v", d.ID, before, now, lease)
				}
			}
			claims[d.ID] = append(claims[d.ID], now)
		}
	}
	var group sync.WaitGroup
	for i := range racers {
		store, random := stores[i%len(stores)], rand.New(rand.NewPCG(5, uint64(i)))
		group.Go(func() {
			var held []inbox.Outcome
			for finished.Load() < events && !t.Failed() {
				now := Epoch.Add(time.Duration(ticks.Add(1)) * lease / 16)
				claimed, err := store.Claim(t.Context(), now, lease, 5)
				if err != nil {
					t.Error(err)
				}
				note(claimed, now)
				for _, d := range claimed {
					held = append(held, forwarded(d))
				}
				if len(claimed) > 0 && random.IntN(4) > 0 {
					continue
				}
				n, err := store.Finish(t.Context(), now, held)
				if err != nil {
					t.Error(err)
				}
				finished.Add(int64(len(held) - n))
				lost.Add(int64(n))
				held = nil
			}
		})
	}
	group.Wait()
	if finished.Load() != events {
		t.Errorf("%d outcomes of %d deliveries stand", finished.Load(), events)
	}
	t.Logf("%d outcomes came too late", lost.Load())
	wantStates(t, engine, map[inbox.State]int{inbox.Forwarded: events})
}
