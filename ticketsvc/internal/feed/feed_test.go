package feed_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/feed"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

var closed = ticket.Filter{Statuses: []ticket.Status{ticket.StatusClosed}}

// TestNothingIsLostBetweenTheWalkAndTheChanges has tickets change at each moment of a walk by pages of two.
func TestNothingIsLostBetweenTheWalkAndTheChanges(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a1", "a", "closed"), updated("b1", "b", "closed"), updated("c1", "c", "closed"), updated("d1", "d", "closed"),
		updated("e1", "e", "closed"), updated("f1", "f", "closed"), updated("g1", "g", "open"))
	pages := 0
	log.before = func(_ context.Context, method string) error {
		if method != "WalkTickets" {
			return nil
		}
		switch pages++; pages {
		case 1: // The place in the log is noted, and nothing of the walk is read.
			log.record(updated("b2", "b", "open"), updated("c2", "c", "closed"))
			log.erase("f")
		case 2: // a and b are read.
			log.record(updated("a2", "a", "open"), updated("b3", "b", "closed"), updated("h1", "h", "closed"))
			log.record(updated("g2", "g", "closed"))
			log.erase("d")
			log.record(updated("g3", "g", "open"))
		}
		return nil
	}
	limits := feed.DefaultLimits()
	limits.Page.Items = 2
	w := mustWatch(t, newFeed(t, log, limits), closed, nil)
	expect(t, w, "a is closed", "c is closed", "e is closed", "h is closed", "heartbeat",
		// b changes before its page, and comes back behind it.
		"b by b2 is closed", "c by c2 is closed", "f is erased", "a leaves by a2", "b by b3 is closed", "h by h1 is closed",
		"d is erased", "g leaves by g3")
}

func TestAWatcherGoesOnFromAnyPlace(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a1", "a", "closed"), updated("b1", "b", "closed"), updated("c1", "c", "open"))
	f := newFeed(t, log, feed.DefaultLimits())
	first := mustWatch(t, f, closed, nil)
	var places []feed.Place
	want := []string{"a is closed", "b is closed", "heartbeat", "c by c2 is closed", "c leaves by c3", "a is erased"}
	for i, say := range want {
		places = append(places, expect(t, first, say).Place)
		if i == 2 {
			log.record(updated("c2", "c", "closed"))
		} else if i == 3 {
			log.record(updated("d1", "d", "open"), updated("c3", "c", "open"))
			log.erase("a")
		}
	}
	log.record(updated("b2", "b", "closed"))
	expect(t, first, "b by b2 is closed")
	for i, place := range places {
		w := mustWatch(t, f, closed, &place)
		if i > 1 {
			// c is open again by now, so that it does not come.
			expect(t, w, map[int][]string{2: {"c leaves by c3", "a is erased"}, 3: {"c leaves by c3", "a is erased"}, 4: {"a is erased"}}[i]...)
		} else {
			expect(t, w, []string{"b is closed", "heartbeat", "c leaves by c3", "a is erased"}[i:]...)
		}
		expect(t, w, "b by b2 is closed")
	}
}

func TestHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		f := newFeed(t, log, feed.DefaultLimits())
		w := mustWatch(t, f, closed, nil)
		inStep := expect(t, w, "heartbeat")
		begin := time.Now()
		beat := func(want time.Duration, place int64) {
			t.Helper()
			if m := expect(t, w, "heartbeat"); time.Since(begin) != want || m.Place.Mark.Sequence != place {
				t.Errorf("a heartbeat after %v with place %d, want %v with %d", time.Since(begin), m.Place.Mark.Sequence, want, place)
			}
			begin = time.Now()
		}
		beat(15*time.Second, 0)
		log.record(updated("a1", "a", "open"), updated("b1", "b", "open"))
		beat(15*time.Second, 2)
		// What does not match is no reason to put it off, however much there is.
		var busy sync.WaitGroup
		busy.Go(func() {
			for i := range 14 {
				log.record(updated(fmt.Sprint("busy", i), "a", "open"))
				time.Sleep(time.Second)
			}
		})
		beat(15*time.Second, 16)
		busy.Wait()
		log.record(updated("a2", "a", "closed"))
		expect(t, w, "a by a2 is closed")
		begin = time.Now()
		beat(15*time.Second, 17)

		resumed := mustWatch(t, f, closed, &inStep.Place)
		begin = time.Now()
		expect(t, resumed, "a by a2 is closed", "heartbeat")
		if time.Since(begin) != 0 {
			t.Errorf("it is said after %v that a resumed watcher is in step", time.Since(begin))
		}
	})
}

// TestAWalkThatFindsNothingHasHeartbeats walks over tickets of which none matches, slowly.
func TestAWalkThatFindsNothingHasHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		for i := range 10 {
			log.record(updated(fmt.Sprintf("e%d", i), fmt.Sprintf("t%d", i), "open"))
		}
		log.before = func(_ context.Context, method string) error {
			if method == "WalkTickets" {
				time.Sleep(4 * time.Second)
			}
			return nil
		}
		limits := feed.DefaultLimits()
		limits.Page.Items = 1
		w := mustWatch(t, newFeed(t, log, limits), closed, nil)
		var places []string
		for {
			m := expect(t, w, "heartbeat")
			if !m.Place.Walking {
				break
			}
			places = append(places, m.Place.TicketID)
		}
		if got := strings.Join(places, " "); got != "t3 t7" {
			t.Errorf("heartbeats behind %s, want t3 t7", got)
		}
	})
}

func TestAWatcherThatDoesNotReadHoldsUpNobodyAndNoMemory(t *testing.T) {
	t.Parallel()
	log := newMemory()
	limits := feed.DefaultLimits()
	limits.WindowEntries, limits.WindowBytes, limits.Pause = 50, 1000, 0
	f := newFeed(t, log, limits)
	stuck := mustWatch(t, f, ticket.Filter{}, nil)
	expect(t, stuck, "heartbeat")
	var others sync.WaitGroup
	const events = 2000
	for range 10 {
		w := mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, w, "heartbeat")
		others.Go(func() {
			for place := int64(1); place <= events; place++ {
				m, err := w.Next(t.Context())
				if err == nil && m.Place.Mark.Sequence != place && m.Kind != feed.Heartbeat {
					err = fmt.Errorf("%d where %d is due", m.Place.Mark.Sequence, place)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range events {
		c := updated(fmt.Sprint("e", i), fmt.Sprint("t", i), "open")
		if c.Values.Title = strings.Repeat("x", i%100); i == 1000 {
			c.Values.Title = strings.Repeat("x", 5000)
		}
		c.Named = c.Named.With(titleField)
		log.record(c)
		if entries, bytes := f.WindowSize(); entries > 50 || bytes > 1000 {
			t.Fatalf("the window has %d entries with %d bytes", entries, bytes)
		}
	}
	others.Wait()
	for i := range events {
		expect(t, stuck, fmt.Sprintf("t%d by e%d is open", i, i))
	}
}

var titleField, _ = ticket.ParseField("title")

func TestWithoutWatchersNothingIsReadOrKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		var calls atomic.Int64
		log.before = func(context.Context, string) error { calls.Add(1); return nil }
		f := newFeed(t, log, feed.DefaultLimits())
		log.record(updated("a1", "a", "open"))
		time.Sleep(time.Minute)
		if calls.Load() != 0 {
			t.Errorf("%d calls without a watcher", calls.Load())
		}
		w, err := f.Watch(t.Context(), ticket.Filter{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, w, "a is open", "heartbeat")
		log.record(updated("a2", "a", "open"))
		expect(t, w, "a by a2 is open")
		w.Close()
		time.Sleep(time.Minute)
		calls.Store(0)
		time.Sleep(time.Minute)
		if entries, _ := f.WindowSize(); calls.Load() != 0 || entries != 0 {
			t.Errorf("%d calls and %d entries without a watcher", calls.Load(), entries)
		}
	})
}

func TestPlacesThatAreNotOfThisLog(t *testing.T) {
	t.Parallel()
	log, other := newMemory(), newMemory()
	log.record(updated("a1", "a", "open"))
	other.record(updated("b1", "a", "open"), updated("b2", "a", "open"))
	f := newFeed(t, log, feed.DefaultLimits())
	otherFeed := newFeed(t, other, feed.DefaultLimits())
	for sequence := int64(1); sequence <= 2; sequence++ {
		mark, err := other.MarkAt(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		for _, place := range []feed.Place{{Mark: mark}, {Mark: mark, Walking: true, TicketID: "a"}} {
			if _, err := f.Watch(t.Context(), ticket.Filter{}, &place); !errors.Is(err, feed.ErrPlace) {
				t.Errorf("from place %d of another log: %v, want ErrPlace", sequence, err)
			}
			mustWatch(t, otherFeed, ticket.Filter{}, &place)
		}
	}
	// The one that failed does not count.
	limits := feed.DefaultLimits()
	limits.Watchers = 1
	one := newFeed(t, log, limits)
	if _, err := one.Watch(t.Context(), ticket.Filter{}, &feed.Place{Mark: ticket.Mark{Sequence: 9}}); !errors.Is(err, feed.ErrPlace) {
		t.Error(err)
	}
	w := mustWatch(t, one, ticket.Filter{}, nil)
	if _, err := one.Watch(t.Context(), ticket.Filter{}, nil); !errors.Is(err, feed.ErrFull) {
		t.Errorf("one watcher too many: %v, want ErrFull", err)
	}
	expect(t, w, "a is open", "heartbeat")
}

// TestTheLogIsReplaced has a database that goes on from a backup, or from a replica that had not all commits, under a feed.
func TestTheLogIsReplaced(t *testing.T) {
	t.Parallel()
	for name, instead := range map[string]int{"by a shorter one": 0, "by one as long": 2, "by a longer one": 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				log.record(updated("a1", "a", "open"), updated("a2", "a", "open"))
				var errs []error
				f := feed.New(log, feed.DefaultLimits(), func(err error) { errs = append(errs, err) }, neverBusy)
				t.Cleanup(f.Close)
				old := mustWatch(t, f, ticket.Filter{}, nil)
				kept := expect(t, old, "a is open", "heartbeat").Place
				log.record(updated("a3", "a", "open"), updated("a4", "a", "open"))
				lost := expect(t, old, "a by a3 is open", "a by a4 is open").Place
				log.mu.Lock()
				log.changes = log.changes[:2:2]
				log.mu.Unlock()
				for i := range instead {
					log.record(updated(fmt.Sprint("b", i), "b", "open"))
				}
				expectEnd(t, old, feed.ErrReplaced)
				synctest.Wait()
				if len(errs) != 1 || !errors.Is(errs[0], feed.ErrPlace) {
					t.Errorf("the feed has the errors %v, want one ErrPlace", errs)
				}
				if _, err := f.Watch(t.Context(), ticket.Filter{}, &lost); !errors.Is(err, feed.ErrPlace) {
					t.Errorf("from a place that is lost: %v, want ErrPlace", err)
				}
				w := mustWatch(t, f, ticket.Filter{}, &kept)
				for i := range instead {
					expect(t, w, fmt.Sprintf("b by b%d is open", i))
				}
				expect(t, w, "heartbeat")
			})
		})
	}
}

// TestAWatcherAheadOfTheTailSeesThatTheLogWasReplaced has a place that the tail has not come to when the log is replaced.
func TestAWatcherAheadOfTheTailSeesThatTheLogWasReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.deaf = true
		f := newFeed(t, log, feed.DefaultLimits())
		expect(t, mustWatch(t, f, ticket.Filter{}, nil), "heartbeat")
		synctest.Wait()
		log.record(updated("a1", "a", "open"))
		mark, err := log.MarkAt(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		ahead := mustWatch(t, f, ticket.Filter{}, &feed.Place{Mark: mark})
		log.mu.Lock()
		log.changes = nil
		log.mu.Unlock()
		log.record(updated("b1", "a", "open"), updated("b2", "a", "open"))
		expectEnd(t, ahead, feed.ErrPlace)
	})
}

func TestAGapInTheLogEndsWhoComesToIt(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a1", "a", "open"), updated("a2", "a", "open"))
	f := newFeed(t, gap{log}, feed.DefaultLimits())
	w := mustWatch(t, f, ticket.Filter{}, &feed.Place{})
	expectEnd(t, w, ticket.ErrCorrupt)
}

// gap is a log without its first place.
type gap struct{ *memory }

func (g gap) ReadLog(ctx context.Context, after int64, limit ticket.PageLimit) ([]ticket.Entry, error) {
	return g.memory.ReadLog(ctx, max(1, after), limit)
}

func TestATicketThatCannotBeRead(t *testing.T) {
	t.Parallel()
	log := newMemory()
	f := newFeed(t, log, feed.DefaultLimits())
	w := mustWatch(t, f, closed, nil)
	expect(t, w, "heartbeat")
	log.corrupt["b"] = true
	log.record(updated("a1", "a", "closed"), updated("b1", "b", "open"), updated("c1", "c", "closed"))
	before := expect(t, w, "a by a1 is closed").Place
	expectEnd(t, w, ticket.ErrCorrupt)
	// It is the same for whoever comes later, until the ticket is mended, or erased.
	again := mustWatch(t, f, closed, &before)
	expectEnd(t, again, ticket.ErrCorrupt)
	walking := mustWatch(t, f, closed, nil)
	expectEnd(t, walking, ticket.ErrCorrupt)
	log.mu.Lock()
	log.corrupt["b"] = false
	log.mu.Unlock()
	log.erase("b")
	expect(t, mustWatch(t, newFeed(t, log, feed.DefaultLimits()), closed, &before), "c by c1 is closed", "b is erased")
}

func TestWhatATicketWasLikeIsFoundOutOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.record(updated("a1", "a", "closed"), updated("b1", "b", "open"))
		var lookups atomic.Int64
		log.before = func(_ context.Context, method string) error {
			if method != "TicketBefore" {
				return nil
			}
			time.Sleep(time.Second)
			if lookups.Add(1) == 1 {
				return ticket.ErrUnavailable
			}
			return nil
		}
		f := newFeed(t, log, feed.DefaultLimits())
		var all []*feed.Watcher
		for range 20 {
			w := mustWatch(t, f, closed, nil)
			expect(t, w, "a is closed", "heartbeat")
			all = append(all, w)
		}
		synctest.Wait()
		log.record(updated("a2", "a", "open"), updated("b2", "b", "open"))
		var failed atomic.Int64
		var watching sync.WaitGroup
		for _, w := range all {
			watching.Go(func() {
				m, err := w.Next(t.Context())
				if errors.Is(err, ticket.ErrUnavailable) {
					failed.Add(1)
				} else if err != nil || said(m) != "a leaves by a2" {
					t.Errorf("%q, %v", said(m), err)
				}
			})
		}
		watching.Wait()
		if failed.Load() != 1 || lookups.Load() != 2 {
			t.Errorf("%d watchers failed and %d lookups of a, want 1 and 2", failed.Load(), lookups.Load())
		}
	})
}

func TestATicketOfManyEventsIsTakenForOneThatMatched(t *testing.T) {
	t.Parallel()
	log := newMemory()
	limits := feed.DefaultLimits()
	limits.EventsBefore = 3
	w := mustWatch(t, newFeed(t, log, limits), closed, nil)
	expect(t, w, "heartbeat")
	for i := range 5 {
		log.record(updated(fmt.Sprint("e", i), "a", "open"))
	}
	expect(t, w, "a leaves by e4")
}

func TestStopping(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a1", "a", "open"), updated("b1", "b", "open"))
	f := newFeed(t, log, feed.DefaultLimits())
	waiting, walking := mustWatch(t, f, ticket.Filter{}, nil), mustWatch(t, f, ticket.Filter{}, nil)
	expect(t, waiting, "a is open", "b is open", "heartbeat")
	walked := expect(t, walking, "a is open").Place
	log.record(updated("a2", "a", "open"))
	came := expect(t, waiting, "a by a2 is open").Place
	f.Stop()
	if got := expect(t, waiting, "heartbeat").Place; got != came {
		t.Errorf("the last place is %+v, want %+v", got, came)
	}
	if got := expect(t, walking, "heartbeat").Place; got != walked {
		t.Errorf("the last place is %+v, want %+v", got, walked)
	}
	expectEnd(t, waiting, feed.ErrStopping)
	expectEnd(t, walking, feed.ErrStopping)
	if _, err := f.Watch(t.Context(), ticket.Filter{}, nil); !errors.Is(err, feed.ErrStopping) {
		t.Errorf("a watcher that comes later: %v, want ErrStopping", err)
	}
}

// TestStoppingWaitsForNoDatabase stops while a watcher reads, and others wait for their turn.
func TestStoppingWaitsForNoDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.record(updated("a1", "a", "open"))
		log.before = func(ctx context.Context, method string) error {
			if method == "WalkTickets" {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		f := newFeed(t, log, feed.DefaultLimits())
		var all []*feed.Watcher
		for range 20 {
			all = append(all, mustWatch(t, f, ticket.Filter{}, nil))
		}
		var watching sync.WaitGroup
		begin := time.Now()
		for _, w := range all {
			watching.Go(func() {
				m, err := w.Next(t.Context())
				if err != nil || m.Kind != feed.Heartbeat {
					t.Errorf("%q, %v; want a heartbeat", said(m), err)
				}
				if _, err := w.Next(t.Context()); !errors.Is(err, feed.ErrStopping) {
					t.Errorf("%v, want ErrStopping", err)
				}
			})
		}
		synctest.Wait()
		f.Stop()
		watching.Wait()
		if time.Since(begin) != 0 {
			t.Errorf("it took %v", time.Since(begin))
		}
	})
}

// TestTheDatabaseIsAway has a database that fails, or does not answer, and comes back.
func TestTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]bool{"it refuses": false, "it does not answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				var away atomic.Bool
				log.before = func(ctx context.Context, _ string) error {
					if away.Load() && hang {
						<-ctx.Done()
					}
					if away.Load() {
						return ticket.ErrUnavailable
					}
					return nil
				}
				var errs atomic.Int64
				limits := feed.DefaultLimits()
				limits.Page.Items = 1
				f := feed.New(log, limits, func(error) { errs.Add(1) }, neverBusy)
				t.Cleanup(f.Close)
				w, walking := mustWatch(t, f, ticket.Filter{}, nil), mustWatch(t, f, ticket.Filter{}, nil)
				expect(t, w, "heartbeat")
				away.Store(true)
				log.record(updated("a1", "a", "open"))
				begin := time.Now()
				expectEnd(t, walking, ticket.ErrUnavailable)
				if _, err := f.Watch(t.Context(), ticket.Filter{}, nil); !errors.Is(err, ticket.ErrUnavailable) {
					t.Errorf("a watcher that comes meanwhile: %v, want ErrUnavailable", err)
				}
				if took := time.Since(begin); took > 2*limits.ReadTimeout {
					t.Errorf("it took %v", took)
				}
				// Who has no need of the database waits for it.
				expect(t, w, "heartbeat", "heartbeat", "heartbeat")
				away.Store(false)
				begin = time.Now()
				expect(t, w, "a by a1 is open")
				if took := time.Since(begin); took > limits.ReadTimeout+limits.Poll {
					t.Errorf("it takes %v to go on", took)
				}
				if errs.Load() != 1 {
					t.Errorf("%d errors are told, want 1", errs.Load())
				}
			})
		})
	}
}

func TestAWatcherEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, newMemory(), feed.DefaultLimits())
		w := mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, w, "heartbeat")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next = %v, want DeadlineExceeded", err)
		}
	})
}

// TestABusyLogWakesWatchersInSteps has an event each millisecond: that is no reason to wake all watchers each millisecond.
func TestABusyLogWakesWatchersInSteps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		var reads atomic.Int64
		log.before = func(_ context.Context, method string) error {
			if method == "ReadLog" {
				reads.Add(1)
			}
			return nil
		}
		f := newFeed(t, log, feed.DefaultLimits())
		w := mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, w, "heartbeat")
		begin := time.Now()
		var writing sync.WaitGroup
		writing.Go(func() {
			for i := range 1000 {
				log.record(updated(fmt.Sprint("e", i), "a", "open"))
				time.Sleep(time.Millisecond)
			}
		})
		for range 1000 {
			if _, err := w.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		writing.Wait()
		if took := time.Since(begin); took > 1020*time.Millisecond || reads.Load() > 110 {
			t.Errorf("the last of 1000 events in a second came after %v, by %d reads", took, reads.Load())
		}
	})
}
