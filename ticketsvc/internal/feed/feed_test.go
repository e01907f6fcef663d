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
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

var closed = ticket.Filter{Statuses: []ticket.Status{ticket.StatusClosed}}

// TestNothingIsLostBetweenTheWalkAndTheChanges has tickets change at each moment of a walk by pages of two.
func TestNothingIsLostBetweenTheWalkAndTheChanges(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a1", "a", "closed"), updated("b1", "b", "closed"), updated("c1", "c", "closed"), updated("d1", "d", "closed"),
		updated("e1", "e", "closed"), updated("f1", "f", "closed"), updated("g1", "g", "open"))
	pages, walked := 0, make(chan struct{})
	log.before = func(_ context.Context, method string) error {
		if method == "ReadLog" {
			<-walked // So that all changes are read as they are at the end.
		}
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
	expect(t, w, "a is closed", "c is closed", "e is closed", "h is closed", "heartbeat")
	close(walked)
	expect(t, w, // b changes before its page, and comes back behind it.
		"b by b2 is closed", "c by c2 is closed", "f is erased", "a leaves by a2", "b by b3 is closed", "h by h1 is closed",
		"d is erased", "g leaves by g3")
}

// TestTicketsEnterAndLeaveByTheirWords has a filter with a text: the words of title and description decide.
func TestTicketsEnterAndLeaveByTheirWords(t *testing.T) {
	t.Parallel()
	log := newMemory()
	says := func(eventID, ticketID, field, text string) ticket.Change {
		both := ticket.Ticket{Title: text, Description: text}
		return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, Named: tickettest.Named(field),
			Values: both.Only(tickettest.Named(field))}
	}
	log.record(says("a1", "a", "title", "Heizkörper kalt"), says("b1", "b", "title", "Lift steht"))
	w := mustWatch(t, newFeed(t, log, feed.DefaultLimits()), ticket.Filter{Text: "kalt heizkorp"}, nil)
	expect(t, w, "a is ", "heartbeat")
	log.record(says("b2", "b", "title", "HEIZKÖRPER"), says("b3", "b", "description", "bleibt kalt"))
	expect(t, w, "b by b2 is ", "b by b3 is ")
	log.record(says("a2", "a", "title", "Heizung kalt"), updated("a3", "a", "closed"), updated("b4", "b", "closed"))
	expect(t, w, "a leaves by a2", "b by b4 is closed")
	log.record(says("b5", "b", "description", ""))
	log.record(says("a4", "a", "title", "Kalte Heizkörper"))
	expect(t, w, "b leaves by b5", "a by a4 is closed")
}

// TestAWatcherGoesOnFromAnyPlace goes on from each message of a stream. What is in the window has its tickets as they were when the tail
// read them, and what is before it as they are.
func TestAWatcherGoesOnFromAnyPlace(t *testing.T) {
	t.Parallel()
	for _, inWindow := range []bool{true, false} {
		t.Run(fmt.Sprintf("in the window %v", inWindow), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				log.record(updated("a1", "a", "closed"), updated("b1", "b", "closed"), updated("c1", "c", "open"))
				limits := feed.DefaultLimits()
				if !inWindow {
					limits.WindowEntries = 1
				}
				f := newFeed(t, log, limits)
				first := mustWatch(t, f, closed, nil)
				// The tail notes where it begins.
				synctest.Wait()
				var places []feed.Place
				for i, say := range []string{"a is closed", "b is closed", "heartbeat", "c by c2 is closed", "c leaves by c3", "a is erased"} {
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
				rest := []string{"c by c2 is closed", "c leaves by c3", "a is erased", "b by b2 is closed"}
				if !inWindow {
					rest = rest[1:] // c is open again by now, so that nothing is to be said of c2.
				}
				for i, place := range places {
					w := mustWatch(t, f, closed, &place)
					switch i {
					case 0:
						expect(t, w, "b is closed", "heartbeat")
					case 1:
						expect(t, w, "heartbeat")
					case 3, 4, 5:
						expect(t, w, []string{"c leaves by c3", "a is erased", "b by b2 is closed"}[i-3:]...)
						continue
					}
					expect(t, w, rest...)
				}
			})
		})
	}
}

// TestWhatIsErasedIsNotSentOut erases tickets that were read before: for all watchers, for the next of one, or for the rest of a walk.
func TestWhatIsErasedIsNotSentOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		limits := feed.DefaultLimits()
		limits.WindowEntries = 4
		f := newFeed(t, log, limits)
		begin := expect(t, mustWatch(t, f, ticket.Filter{}, nil), "heartbeat").Place
		synctest.Wait()
		log.record(updated("a1", "a", "open"), updated("b1", "b", "open"))
		time.Sleep(limits.Poll)
		log.record(updated("c1", "c", "open"))
		has := mustWatch(t, f, ticket.Filter{}, &begin)
		expect(t, has, "a by a1 is open")
		time.Sleep(limits.Poll)
		log.erase("b")
		time.Sleep(limits.Poll)
		if _, bytes := f.WindowSize(); bytes != 2*len("open") {
			t.Errorf("the window has %d bytes, and two entries with tickets", bytes)
		}
		late := mustWatch(t, f, ticket.Filter{}, &begin)
		expect(t, late, "a by a1 is open", "c by c1 is open", "b is erased", "heartbeat")
		expect(t, has, "c by c1 is open", "b is erased", "heartbeat")

		// Those that are behind the window, or in the walk, have read it by themselves.
		log.record(updated("d1", "d", "open"), updated("e1", "e", "open"), updated("f1", "f", "open"))
		time.Sleep(limits.Poll)
		behind, walking := mustWatch(t, f, ticket.Filter{}, &begin), mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, behind, "a by a1 is open")
		expect(t, walking, "a is open", "c is open")
		log.erase("d")
		log.erase("f")
		time.Sleep(limits.Poll)
		expect(t, behind, "c by c1 is open", "b is erased", "e by e1 is open", "d is erased", "f is erased", "heartbeat")
		expect(t, walking, "e is open", "heartbeat", "d is erased", "f is erased")

		// More were erased than are remembered.
		walking = mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, walking, "a is open")
		log.erase("c")
		for i := range 10 {
			log.erase(fmt.Sprint("other", i))
		}
		time.Sleep(limits.Poll)
		expect(t, walking, "e is open", "heartbeat", "c is erased", "other0 is erased")
	})
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
				f := feed.New(log, feed.DefaultLimits(), func(err error) { errs = append(errs, err) }, func() {}, neverBusy)
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
	expectEnd(t, mustWatch(t, f, ticket.Filter{}, &feed.Place{}), feed.ErrPlace)
	// It is behind whoever starts again.
	again := mustWatch(t, f, ticket.Filter{}, nil)
	expect(t, again, "a is open", "heartbeat")
	log.record(updated("a3", "a", "open"))
	expect(t, again, "a by a3 is open")
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

// TestALookBackThatTakesTooLongIsNotTriedForEver has one that never ends: whoever comes again would come to it again.
func TestALookBackThatTakesTooLongIsNotTriedForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.record(updated("a1", "a", "open"))
		log.before = func(ctx context.Context, method string) error {
			if method == "TicketBefore" {
				<-ctx.Done()
				return ticket.ErrUnavailable
			}
			return nil
		}
		limits := feed.DefaultLimits()
		w := mustWatch(t, newFeed(t, log, limits), closed, nil)
		expect(t, w, "heartbeat")
		synctest.Wait()
		begin := time.Now()
		log.record(updated("a2", "a", "open"), updated("b1", "b", "closed"))
		expect(t, w, "a leaves by a2", "b by b1 is closed")
		if took := time.Since(begin); took != limits.ReadTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

// TestADatabaseThatHangsSaysNothingOfATicket is the other reason for a look back that takes too long.
func TestADatabaseThatHangsSaysNothingOfATicket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.record(updated("a1", "a", "open"))
		var hangs atomic.Bool
		log.before = func(ctx context.Context, method string) error {
			if method == "TicketBefore" {
				hangs.Store(true)
			}
			if hangs.Load() {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		f := feed.New(log, feed.DefaultLimits(), func(error) {}, func() {}, neverBusy)
		t.Cleanup(f.Close)
		w := mustWatch(t, f, closed, nil)
		expect(t, w, "heartbeat")
		synctest.Wait()
		log.record(updated("a2", "a", "open"), updated("b1", "b", "closed"))
		if m, err := w.Next(t.Context()); !errors.Is(err, ticket.ErrUnavailable) {
			t.Errorf("%q, %v; want %v", said(m), err, ticket.ErrUnavailable)
		}
	})
}

// TestWhatTicketsWereLikeTakesNoMoreThanTheWindowHas has events that are small themselves, of tickets that were large before.
func TestWhatTicketsWereLikeTakesNoMoreThanTheWindowHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		limits := feed.DefaultLimits()
		limits.WindowBytes = 50_000
		f := newFeed(t, log, limits)
		w := mustWatch(t, f, ticket.Filter{Text: "none"}, nil)
		expect(t, w, "heartbeat")
		synctest.Wait()
		const tickets = 20
		for i := range tickets {
			large, small := updated(fmt.Sprint("a", i), fmt.Sprint("t", i), "open"), updated(fmt.Sprint("b", i), fmt.Sprint("t", i), "open")
			large.Named, small.Named = large.Named.With(titleField), small.Named.With(titleField)
			large.Values.Title = strings.Repeat("x ", 10_000)
			if i == tickets-1 {
				large.Values.Title += "none"
			}
			log.record(large, small)
		}
		expect(t, w, fmt.Sprintf("t%d leaves by b%d", tickets-1, tickets-1))
		if entries, bytes := f.WindowSize(); bytes > limits.WindowBytes || bytes < 20_000 || entries > 6 {
			t.Errorf("the window has %d entries with %d bytes", entries, bytes)
		}
	})
}

func TestATicketOfManyEventsIsTakenForOneThatMatched(t *testing.T) {
	t.Parallel()
	log := newMemory()
	limits := feed.DefaultLimits()
	limits.Before.Items = 3
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

// TestTheDatabaseIsAway has a database that fails, or does not answer, for a short time and for a long one.
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
				var errs, recoveries atomic.Int64
				limits := feed.DefaultLimits()
				limits.Page.Items = 1
				f := feed.New(log, limits, func(error) { errs.Add(1) }, func() { recoveries.Add(1) }, neverBusy)
				t.Cleanup(f.Close)
				watch := func() *feed.Watcher {
					w, err := f.Watch(t.Context(), ticket.Filter{}, nil)
					if err != nil {
						t.Fatal(err)
					}
					return w
				}
				w, walking := watch(), watch()
				expect(t, w, "heartbeat")
				synctest.Wait() // The tail has begun.
				away.Store(true)
				log.record(updated("a1", "a", "open"))
				// Who has no need of the database waits for it, for a while.
				time.Sleep(limits.Heartbeat / 3)
				away.Store(false)
				begin := time.Now()
				place := expect(t, w, "a by a1 is open").Place
				if took := time.Since(begin); took > limits.ReadTimeout+limits.Poll {
					t.Errorf("it takes %v to go on", took)
				}
				time.Sleep(limits.Poll)
				if errs.Load() != 1 || recoveries.Load() != 1 {
					t.Errorf("%d errors and %d recoveries are told, want 1 of each", errs.Load(), recoveries.Load())
				}
				// Then it is better off elsewhere.
				away.Store(true)
				log.record(updated("a2", "a", "open"))
				var both sync.WaitGroup
				begin = time.Now()
				both.Go(func() {
					if m, err := walking.Next(t.Context()); !errors.Is(err, ticket.ErrUnavailable) {
						t.Errorf("in the walk it is told %q, %v; want ErrUnavailable", said(m), err)
					}
					if _, err := f.Watch(t.Context(), ticket.Filter{}, nil); !errors.Is(err, ticket.ErrUnavailable) {
						t.Errorf("a watcher that comes meanwhile: %v, want ErrUnavailable", err)
					}
					if took := time.Since(begin); took > 2*limits.ReadTimeout {
						t.Errorf("it took %v", took)
					}
				})
				var end error
				for m := (feed.Message{}); end == nil; m, end = w.Next(t.Context()) {
					if m.Kind != feed.Heartbeat {
						t.Errorf("it is told %q", said(m))
					}
				}
				if took := time.Since(begin); !errors.Is(end, ticket.ErrUnavailable) || took < limits.Heartbeat/2 ||
					took > limits.Heartbeat+limits.ReadTimeout+limits.Poll {
					t.Errorf("it ends with %v after %v", end, took)
				}
				both.Wait()
				walking.Close()
				w.Close()
				time.Sleep(time.Minute)
				away.Store(false)
				expect(t, mustWatch(t, f, ticket.Filter{}, &place), "a by a2 is open", "heartbeat")
				time.Sleep(limits.Poll)
				if errs.Load() != 2 || recoveries.Load() != 2 {
					t.Errorf("%d errors and %d recoveries are told, want 2 of each", errs.Load(), recoveries.Load())
				}
			})
		})
	}
}

// TestTheTailAloneFails has a log that can't be read, in a database that answers otherwise.
func TestTheTailAloneFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.record(updated("a1", "a", "open"))
		log.before = func(_ context.Context, method string) error {
			if method == "ReadLog" {
				return ticket.ErrUnavailable
			}
			return nil
		}
		f := feed.New(log, feed.DefaultLimits(), func(error) {}, func() {}, neverBusy)
		t.Cleanup(f.Close)
		w := mustWatch(t, f, ticket.Filter{}, nil)
		place := expect(t, w, "a is open", "heartbeat", "heartbeat").Place
		expectEnd(t, w, ticket.ErrUnavailable)
		// Nobody is told that it is in step, and that all is well.
		expectEnd(t, mustWatch(t, f, ticket.Filter{}, &place), ticket.ErrUnavailable)
	})
}

// TestReadsLeaveRoomForOthers has as many watchers as want to read a database that does not answer.
func TestReadsLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.record(updated("a1", "a", "open"))
		var reading atomic.Int64
		log.before = func(ctx context.Context, _ string) error {
			reading.Add(1)
			defer reading.Add(-1)
			<-ctx.Done()
			return ctx.Err()
		}
		f := feed.New(log, feed.DefaultLimits(), func(error) {}, func() {}, neverBusy)
		t.Cleanup(f.Close)
		var watching sync.WaitGroup
		for range 20 {
			watching.Go(func() {
				if _, err := f.Watch(t.Context(), ticket.Filter{}, nil); err == nil {
					t.Error("a watcher began without the database")
				}
			})
		}
		synctest.Wait()
		// An SQLite file has four connections to read by, of which other calls and the check of readiness need one.
		if got := reading.Load(); got != 3 {
			t.Errorf("the feed reads %d times at once, want 3", got)
		}
		watching.Wait()
	})
}

// TestTooManyBeginAtOnce has watchers that wait for their turn to read for longer than a watcher may hear nothing.
func TestTooManyBeginAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.before = func(_ context.Context, method string) error {
			if method == "LastMark" {
				time.Sleep(9 * time.Second)
			}
			return nil
		}
		f := newFeed(t, log, feed.DefaultLimits())
		var watching sync.WaitGroup
		var begun, busy atomic.Int64
		for range 20 {
			watching.Go(func() {
				w, err := f.Watch(t.Context(), ticket.Filter{}, nil)
				switch {
				case err == nil:
					w.Close()
					begun.Add(1)
				case errors.Is(err, feed.ErrBusy) && !errors.Is(err, ticket.ErrUnavailable):
					busy.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		watching.Wait()
		if begun.Load() != 4 || busy.Load() != 16 {
			t.Errorf("%d watchers began and %d were told that too many do, want 4 and 16", begun.Load(), busy.Load())
		}
	})
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
