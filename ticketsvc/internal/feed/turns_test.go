package feed_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/feed"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// inTurns has 40 watchers, in groups of 16, that each take a millisecond for a message, and returns when each of them was told of an event:
// how many in each millisecond since it was recorded.
func inTurns(t *testing.T, busy bool, stuck int) (told map[time.Duration]int) {
	t.Helper()
	told = map[time.Duration]int{}
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		f := feed.New(log, feed.DefaultLimits(), func(err error) { t.Error(err) }, func() bool { return busy })
		t.Cleanup(f.Close)
		var all []*feed.Watcher
		for range 40 {
			w := mustWatch(t, f, ticket.Filter{}, nil)
			expect(t, w, "heartbeat")
			all = append(all, w)
		}
		ctx := t.Context()
		var mu sync.Mutex
		var watching sync.WaitGroup
		begin := time.Now()
		for i, w := range all {
			watching.Go(func() {
				for range 2 {
					m, err := w.Next(ctx)
					if err != nil || m.Kind != feed.Change {
						t.Errorf("%q, %v", said(m), err)
						return
					}
					if i < stuck {
						return
					}
					mu.Lock()
					told[time.Since(begin)]++
					mu.Unlock()
					time.Sleep(time.Millisecond)
				}
				// It waits for more, and so says that it has dealt with this.
				if m, err := w.Next(ctx); err != nil || m.Kind != feed.Heartbeat {
					t.Errorf("%q, %v; want a heartbeat", said(m), err)
				}
			})
		}
		synctest.Wait()
		log.record(updated("a1", "a", "open"))
		time.Sleep(500 * time.Millisecond)
		log.record(updated("a2", "a", "open"))
		watching.Wait()
	})
	return told
}

func expectTold(t *testing.T, got map[time.Duration]int, want map[time.Duration]int) {
	t.Helper()
	for at, watchers := range want {
		if got[at] != watchers {
			t.Errorf("%d watchers were told after %v, want %d; all: %v", got[at], at, watchers, got)
		}
	}
}

func TestWatchersTakeTurns(t *testing.T) {
	t.Parallel()
	const ms, second = time.Millisecond, 500 * time.Millisecond
	expectTold(t, inTurns(t, false, 0), map[time.Duration]int{
		0: 16, ms: 16, 2 * ms: 8, second: 16, second + ms: 16, second + 2*ms: 8,
	})
}

func TestWatchersRestWhileEventsAreRecorded(t *testing.T) {
	t.Parallel()
	const ms, second = time.Millisecond, 500 * time.Millisecond
	expectTold(t, inTurns(t, true, 0), map[time.Duration]int{
		0: 16, 4 * ms: 16, 8 * ms: 8, second: 16, second + 4*ms: 16, second + 8*ms: 8,
	})
}

// Those that are stuck hold up the others once, for a moment.
func TestWatchersDoNotWaitForOnesThatAreStuck(t *testing.T) {
	t.Parallel()
	const ms, second = time.Millisecond, 500 * time.Millisecond
	late := 2*ms + 16*50*time.Microsecond
	expectTold(t, inTurns(t, false, 3), map[time.Duration]int{
		0: 13, late: 16, late + ms: 8, second: 16, second + ms: 16, second + 2*ms: 5,
	})
}

// Watchers that an event means nothing to are not woken, and their place moves on all the same: those that it means something to need no
// second turn.
func TestOnlyWatchersThatItConcernsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		f := feed.New(log, feed.DefaultLimits(), func(err error) { t.Error(err) }, func() bool { return true })
		t.Cleanup(f.Close)
		elsewhere := ticket.Filter{PropertyIDs: []string{"elsewhere"}}
		var watching sync.WaitGroup
		for range 100 {
			w := mustWatch(t, f, elsewhere, nil)
			expect(t, w, "heartbeat")
			watching.Go(func() {
				if m, err := w.Next(t.Context()); err != nil || m.Kind != feed.Heartbeat || m.Place.Mark.Sequence != 3 {
					t.Errorf("%q at %+v, %v; want a heartbeat at the third place", said(m), m.Place, err)
				}
			})
		}
		all := mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, all, "heartbeat")
		synctest.Wait()
		begin := time.Now()
		for _, id := range []string{"a1", "a2", "a3"} {
			log.record(updated(id, "a", "open"))
		}
		expect(t, all, "a by a1 is open", "a by a2 is open", "a by a3 is open")
		if took := time.Since(begin); took >= time.Millisecond {
			t.Errorf("it took %v, want no time: nobody else has a turn", took)
		}
		if _, waiting, busy := f.Members(); waiting != 100 || busy != 1 {
			t.Errorf("%d watchers wait and %d are busy, want 100 and 1", waiting, busy)
		}
		all.Close()
		watching.Wait()
	})
}
