package watch_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// sentAt has 40 watchers that each take a millisecond for a message. Some of them stop reading. It returns when the others got the messages
// of two events: how many in each millisecond since the first event was recorded. The second one is recorded 500 ms later.
func sentAt(t *testing.T, stuck int) (sent map[time.Duration]int) {
	t.Helper()
	sent = map[time.Duration]int{}
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		f := newFeed(t, log, watch.DefaultLimits())
		var all []*watch.Watcher
		for range 40 {
			w := mustWatch(t, f, ticket.Filter{}, nil)
			expect(t, w, "heartbeat")
			all = append(all, w)
		}
		ctx := t.Context()
		var mu sync.Mutex
		var watching sync.WaitGroup
		begin := time.Now()
		var isStuck atomic.Int64
		for _, w := range all {
			watching.Go(func() {
				for range 2 {
					m, err := w.Next(ctx)
					if err != nil || m.Kind != watch.Change {
						t.Errorf("%q, %v", said(m), err)
						return
					}
					if isStuck.Add(1) <= int64(stuck) {
						return
					}
					mu.Lock()
					sent[time.Since(begin)]++
					mu.Unlock()
					time.Sleep(time.Millisecond)
				}
				// It waits for more, and so says that it has dealt with this.
				if m, err := w.Next(ctx); err != nil || m.Kind != watch.Heartbeat {
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
	return sent
}

func expectTold(t *testing.T, got map[time.Duration]int, want map[time.Duration]int) {
	t.Helper()
	for at, watchers := range want {
		if got[at] != watchers {
			t.Errorf("%d watchers got their message after %v, want %d; all: %v", got[at], at, watchers, got)
		}
	}
}

func TestFeed_wakeWatchers_atMost16AtATime(t *testing.T) {
	t.Parallel()
	const ms, second = time.Millisecond, 500 * time.Millisecond
	expectTold(t, sentAt(t, 0), map[time.Duration]int{
		0: 16, ms: 16, 2 * ms: 8, second: 16, second + ms: 16, second + 2*ms: 8,
	})
}

// Watchers that are stuck hold up the others once, for a moment: they are not woken again.
func TestFeed_wakeWatchers_doesNotWaitForThoseThatAreStuck(t *testing.T) {
	t.Parallel()
	const ms, second = time.Millisecond, 500 * time.Millisecond
	late := 2*ms + 16*50*time.Microsecond
	expectTold(t, sentAt(t, 16), map[time.Duration]int{
		late: 16, late + ms: 8, second: 16, second + ms: 8,
	})
}

func TestFeed_restsAfterARound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		watchers int
		message  time.Duration
		want     time.Duration
	}{
		"at least the pause":                 {watchers: 1, message: time.Millisecond, want: 11 * time.Millisecond},
		"twice as long as the watchers took": {watchers: 16, message: 20 * time.Millisecond, want: 60 * time.Millisecond},
		"at most 0.1 s":                      {watchers: 64, message: 20 * time.Millisecond, want: 180 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				limits := watch.DefaultLimits()
				limits.Tail.Items = 100
				f := newFeed(t, log, limits)
				var mu sync.Mutex
				var first [3]time.Time
				var watching sync.WaitGroup
				for range test.watchers {
					w := mustWatch(t, f, ticket.Filter{}, nil)
					expect(t, w, "heartbeat")
					watching.Go(func() {
						for {
							m, err := w.Next(t.Context())
							if err != nil {
								t.Error(err)
								return
							}
							if n := m.ResumePoint.Position.Sequence; n%100 == 1 {
								mu.Lock()
								if first[n/100].IsZero() {
									first[n/100] = time.Now()
								}
								mu.Unlock()
								time.Sleep(test.message)
							}
							if m.ResumePoint.Position.Sequence == 300 {
								return
							}
						}
					})
				}
				synctest.Wait()
				log.record(slices.Repeat([]ticket.Change{updated("e", "a", "open")}, 300)...)
				watching.Wait()
				if got := first[1].Sub(first[0]); got != test.want {
					t.Errorf("the second publication came %v after the first, want %v", got, test.want)
				}
			})
		})
	}
}

func TestFeed_reportsThatItIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		limits := watch.DefaultLimits()
		limits.Tail.Items, limits.Pause = 10, 200*time.Millisecond
		var said []string
		notices := notices(func(err error) { t.Error(err) }, func() {})
		notices.Late = func(events int64) { said = append(said, fmt.Sprint("late by ", events)) }
		notices.CaughtUp = func() { said = append(said, "caught up") }
		f := watch.New(log, limits, notices)
		t.Cleanup(f.Close)
		w := mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, w, "heartbeat")
		synctest.Wait()
		for range 2 {
			// 26 publications of 10 take 5 s, and the others not long enough to be said to be late again.
			log.record(slices.Repeat([]ticket.Change{updated("e", "a", "open")}, 300)...)
			for range 300 {
				expect(t, w, "a by e is open")
			}
			time.Sleep(time.Second)
		}
		log.record(slices.Repeat([]ticket.Change{updated("e", "a", "open")}, 200)...)
		for range 200 {
			expect(t, w, "a by e is open")
		}
		if diff := cmp.Diff([]string{"late by 40", "caught up", "late by 40", "caught up"}, said); diff != "" {
			t.Error(diff)
		}
	})
}

var propertyIDField, _ = ticket.ParseField("property_id")

// TestFeed_wakeWatchers_endsBeforeAnErasureIsPublished has watchers who are slow to read, but for one, and very much to tell them.
func TestFeed_wakeWatchers_endsBeforeAnErasureIsPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		limits := watch.DefaultLimits()
		limits.WatchersPerCaller = limits.Watchers
		f := newFeed(t, log, limits)
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
		theirs.Values.PropertyID, theirs.Fields = "p", theirs.Fields.With(propertyIDField)
		log.record(slices.Repeat([]ticket.Change{theirs}, 1024)...)
		time.Sleep(100 * time.Millisecond)
		log.erase("a")
		begin := time.Now()
		for {
			m, err := quick.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == watch.Erased {
				break
			}
		}
		if took := time.Since(begin); took > 2500*time.Millisecond {
			t.Errorf("the erasure was sent after %v", took)
		}
		cancel()
		watching.Wait()
	})
}

// TestFeed_wakeWatchers_wokenTwice has watchers that stop waiting for a heartbeat while a long round has not come to them, and wait again,
// so that two rounds wake them, and whose callers then read nothing.
func TestFeed_wakeWatchers_wokenTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		f := newFeed(t, log, watch.DefaultLimits())
		ctx, cancel := context.WithCancel(t.Context())
		first := mustWatch(t, f, ticket.Filter{}, nil)
		from := expect(t, first, "heartbeat").ResumePoint
		first.Close()
		for range 128 {
			w := mustWatch(t, f, ticket.Filter{}, nil)
			expect(t, w, "heartbeat")
			go func() {
				// It reads nothing after its first change, so a round waits for it.
				for {
					if m, err := w.Next(ctx); err != nil || m.Kind == watch.Change {
						return
					}
				}
			}()
		}
		time.Sleep(200 * time.Millisecond)
		var quiet []*watch.Watcher
		for range 20 {
			w := mustWatch(t, f, ticket.Filter{PropertyIDs: []string{"p"}}, &from)
			expect(t, w, "heartbeat")
			quiet = append(quiet, w)
		}
		time.Sleep(14600 * time.Millisecond)
		log.record(slices.Repeat([]ticket.Change{updated("e", "a", "open")}, 1024)...)
		time.Sleep(100 * time.Millisecond)
		for _, w := range quiet {
			go func() { _, _ = w.Next(ctx) }()
		}
		time.Sleep(1500 * time.Millisecond)
		log.record(updated("e2", "a", "open"))
		time.Sleep(30 * time.Second)
		if watchers, ok := f.TryWaiting(); !ok || watchers != 148 {
			t.Errorf("%d watchers, %v; want that the feed's mutex is free", watchers, ok)
		}
		cancel()
	})
}
