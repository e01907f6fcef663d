package feed_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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
		f := feed.New(log, feed.DefaultLimits(), func(err error) { t.Error(err) }, func() {}, func() bool { return busy })
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
		0: 13, late: 16, late + ms: 8, second: 13, second + ms: 16, second + 2*ms: 8,
	})
}

// measured is a log that notes how many entries it was asked for.
type measured struct {
	*memory
	asked []int
}

func (m *measured) ReadLog(ctx context.Context, after int64, limit ticket.PageLimit) ([]ticket.Entry, error) {
	entries, err := m.memory.ReadLog(ctx, after, limit)
	if len(entries) > 0 {
		m.asked = append(m.asked, limit.Items)
	}
	return entries, err
}

func TestMoreIsPublishedAtOnceWhileTheTurnsAreShort(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		watchers int
		want     []int
	}{
		"one watcher":   {1, []int{64, 128, 256, 512, 1024}},
		"many watchers": {200, []int{64, 64, 64, 64, 64}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const events = 2000
				log := &measured{memory: newMemory()}
				f := newFeed(t, log, feed.DefaultLimits())
				var watching sync.WaitGroup
				for range test.watchers {
					w := mustWatch(t, f, ticket.Filter{}, nil)
					expect(t, w, "heartbeat")
					watching.Go(func() {
						for {
							m, err := w.Next(t.Context())
							if err != nil {
								t.Error(err)
							}
							if err != nil || m.Place.Mark.Sequence == events {
								return
							}
							time.Sleep(100 * time.Microsecond)
						}
					})
				}
				synctest.Wait()
				log.record(slices.Repeat([]ticket.Change{updated("e", "a", "open")}, events)...)
				watching.Wait()
				synctest.Wait()
				if diff := cmp.Diff(test.want, log.asked[:len(test.want)]); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

var propertyIDField, _ = ticket.ParseField("property_id")

// TestTurnsEndBeforeWhatIsErasedIsTold has watchers who are slow to read, but for one, and very much to tell them.
func TestTurnsEndBeforeWhatIsErasedIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		f := newFeed(t, log, feed.DefaultLimits())
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		for range 320 {
			w := mustWatch(t, f, ticket.Filter{PropertyIDs: []string{"p"}}, nil)
			expect(t, w, "heartbeat")
			watching.Go(func() {
				for {
					if _, err := w.Next(ctx); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		quick := mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, quick, "heartbeat")
		synctest.Wait()
		// As long as nothing concerns them, more and more is published at once.
		log.record(slices.Repeat([]ticket.Change{updated("e", "a", "open")}, 4096)...)
		for range 4096 {
			expect(t, quick, "a by e is open")
		}
		synctest.Wait()
		theirs := updated("e", "b", "open")
		theirs.Values.PropertyID, theirs.Named = "p", theirs.Named.With(propertyIDField)
		log.record(slices.Repeat([]ticket.Change{theirs}, 1024)...)
		time.Sleep(100 * time.Millisecond)
		log.erase("a")
		begin := time.Now()
		for {
			m, err := quick.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == feed.Erased {
				break
			}
		}
		if took := time.Since(begin); took > 2500*time.Millisecond {
			t.Errorf("the erasure was told after %v", took)
		}
		cancel()
		watching.Wait()
	})
}
