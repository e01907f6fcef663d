package watch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

var closed = ticket.Filter{Statuses: []ticket.Status{ticket.StatusClosed}}

// TestWatcher_Next_snapshotThenChanges has tickets change at each moment of a snapshot by pages of two.
func TestWatcher_Next_snapshotThenChanges(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a1", "a", "closed"), updated("b1", "b", "closed"), updated("c1", "c", "closed"), updated("d1", "d", "closed"),
		updated("e1", "e", "closed"), updated("f1", "f", "closed"), updated("g1", "g", "open"))
	pages, snapshotUpTo := 0, make(chan struct{})
	log.before = func(_ context.Context, method string) error {
		if method == "ReadLog" {
			<-snapshotUpTo // So that all changes are read as they are at the end.
		}
		if method != "ReadSnapshot" {
			return nil
		}
		switch pages++; pages {
		case 1: // The position in the log is noted, and nothing of the snapshot is read.
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
	limits := watch.DefaultLimits()
	limits.Page.Items = 2
	w := mustWatch(t, newFeed(t, log, limits), closed, nil)
	expect(t, w, "a is closed", "c is closed", "e is closed", "h is closed", "heartbeat")
	close(snapshotUpTo)
	expect(t, w, // b changes before its page, and comes back behind it.
		"b by b2 is closed", "c by c2 is closed", "f is erased", "a leaves by a2", "b by b3 is closed", "h by h1 is closed",
		"d is erased", "g leaves by g3")
}

// TestWatcher_Next_textFilter has a filter with a text: the words of title and description decide.
func TestWatcher_Next_textFilter(t *testing.T) {
	t.Parallel()
	log := newMemory()
	says := func(eventID, ticketID, field, text string) ticket.Change {
		both := ticket.Ticket{Title: text, Description: text}
		return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, Fields: tickettest.Named(field),
			Values: both.Only(tickettest.Named(field))}
	}
	log.record(says("a1", "a", "title", "Heizkörper kalt"), says("b1", "b", "title", "Lift steht"))
	w := mustWatch(t, newFeed(t, log, watch.DefaultLimits()), ticket.Filter{Text: "kalt heizkorp"}, nil)
	expect(t, w, "a is ", "heartbeat")
	log.record(says("b2", "b", "title", "HEIZKÖRPER"), says("b3", "b", "description", "bleibt kalt"))
	expect(t, w, "b by b2 is ", "b by b3 is ")
	log.record(says("a2", "a", "title", "Heizung kalt"), updated("a3", "a", "closed"), updated("b4", "b", "closed"))
	expect(t, w, "a leaves by a2", "b by b4 is closed")
	log.record(says("b5", "b", "description", ""))
	log.record(says("a4", "a", "title", "Kalte Heizkörper"))
	expect(t, w, "b leaves by b5", "a by a4 is closed")
}

// TestFeed_Watch_resumesAtAnyPosition goes on from each message of a stream. What is in the window has its tickets as they were when the
// tail read them, and what is before it as they are.
func TestFeed_Watch_resumesAtAnyPosition(t *testing.T) {
	t.Parallel()
	for _, inWindow := range []bool{true, false} {
		t.Run(fmt.Sprintf("in the window %v", inWindow), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				log.record(updated("a1", "a", "closed"), updated("b1", "b", "closed"), updated("c1", "c", "open"))
				limits := watch.DefaultLimits()
				if !inWindow {
					limits.WindowEntries = 1
				}
				f := newFeed(t, log, limits)
				first := mustWatch(t, f, closed, nil)
				// The tail notes where it begins.
				synctest.Wait()
				var positions []watch.ResumePoint
				for i, say := range []string{"a is closed", "b is closed", "heartbeat", "c by c2 is closed", "c leaves by c3", "a is erased"} {
					positions = append(positions, expect(t, first, say).ResumePoint)
					switch i {
					case 2:
						log.record(updated("c2", "c", "closed"))
					case 3:
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
				for i, position := range positions {
					w := mustWatch(t, f, closed, &position)
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

// TestWatcher_Next_erasedTickets erases tickets that were read before: for all watchers, for the next of one, or for the rest of a
// snapshot.
func TestWatcher_Next_erasedTickets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		limits := watch.DefaultLimits()
		limits.WindowEntries = 4
		f := newFeed(t, log, limits)
		begin := expect(t, mustWatch(t, f, ticket.Filter{}, nil), "heartbeat").ResumePoint
		synctest.Wait()
		log.record(updated("a1", "a", "open"), updated("b1", "b", "open"))
		time.Sleep(limits.Poll)
		log.record(updated("c1", "c", "open"))
		has := mustWatch(t, f, ticket.Filter{}, &begin)
		expect(t, has, "a by a1 is open")
		time.Sleep(limits.Poll)
		log.erase("b")
		time.Sleep(limits.Poll)
		if entries, bytes := f.WindowSize(); bytes != entries*(ticket.Weight{}).Memory()+2*len("open") {
			t.Errorf("the window has %d entries with %d bytes, and two with tickets", entries, bytes)
		}
		late := mustWatch(t, f, ticket.Filter{}, &begin)
		expect(t, late, "a by a1 is open", "c by c1 is open", "b is erased", "heartbeat")
		expect(t, has, "c by c1 is open", "b is erased", "heartbeat")

		// Those that are behind the window, or in the snapshot, have read it by themselves.
		log.record(updated("d1", "d", "open"), updated("e1", "e", "open"), updated("f1", "f", "open"))
		time.Sleep(limits.Poll)
		behind, snapshotting := mustWatch(t, f, ticket.Filter{}, &begin), mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, behind, "a by a1 is open")
		expect(t, snapshotting, "a is open", "c is open")
		log.erase("d")
		log.erase("f")
		time.Sleep(limits.Poll)
		expect(t, behind, "c by c1 is open", "b is erased", "e by e1 is open", "d is erased", "f is erased", "heartbeat")
		expect(t, snapshotting, "e is open", "heartbeat", "d is erased", "f is erased")

		// More were erased than are remembered.
		snapshotting = mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, snapshotting, "a is open")
		log.erase("c")
		for i := range 10 {
			log.erase(fmt.Sprint("other", i))
		}
		time.Sleep(limits.Poll)
		expect(t, snapshotting, "e is open", "heartbeat", "c is erased", "other0 is erased")
	})
}

func TestWatcher_Next_heartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		f := newFeed(t, log, watch.DefaultLimits())
		w := mustWatch(t, f, closed, nil)
		inStep := expect(t, w, "heartbeat")
		begin := time.Now()
		beat := func(want time.Duration, position int64) {
			t.Helper()
			if m := expect(t, w, "heartbeat"); time.Since(begin) != want || m.ResumePoint.Position.Sequence != position {
				t.Errorf("a heartbeat after %v with position %d, want %v with %d", time.Since(begin), m.ResumePoint.Position.Sequence, want, position)
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

		resumed := mustWatch(t, f, closed, &inStep.ResumePoint)
		begin = time.Now()
		expect(t, resumed, "a by a2 is closed", "heartbeat")
		if time.Since(begin) != 0 {
			t.Errorf("it is said after %v that a resumed watcher is in step", time.Since(begin))
		}
	})
}

// TestWatcher_Next_heartbeatsInAnEmptySnapshot reads a snapshot of tickets of which none matches, slowly.
func TestWatcher_Next_heartbeatsInAnEmptySnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		for i := range 10 {
			log.record(updated(fmt.Sprintf("e%d", i), fmt.Sprintf("t%d", i), "open"))
		}
		log.before = func(_ context.Context, method string) error {
			if method == "ReadSnapshot" {
				time.Sleep(4 * time.Second)
			}
			return nil
		}
		limits := watch.DefaultLimits()
		limits.Page.Items = 1
		w := mustWatch(t, newFeed(t, log, limits), closed, nil)
		var positions []string
		for {
			m := expect(t, w, "heartbeat")
			if !m.ResumePoint.Snapshot {
				break
			}
			positions = append(positions, m.ResumePoint.TicketID)
		}
		if got := strings.Join(positions, " "); got != "t3 t7" {
			t.Errorf("heartbeats behind %s, want t3 t7", got)
		}
	})
}

var (
	titleField, _  = ticket.ParseField("title")
	labelsField, _ = ticket.ParseField("label_ids")
)

func TestFeed_Stop(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a1", "a", "open"), updated("b1", "b", "open"))
	f := newFeed(t, log, watch.DefaultLimits())
	waiting, snapshotting := mustWatch(t, f, ticket.Filter{}, nil), mustWatch(t, f, ticket.Filter{}, nil)
	expect(t, waiting, "a is open", "b is open", "heartbeat")
	snapshotUpTo := expect(t, snapshotting, "a is open").ResumePoint
	log.record(updated("a2", "a", "open"))
	came := expect(t, waiting, "a by a2 is open").ResumePoint
	f.Stop()
	if got := expect(t, waiting, "heartbeat").ResumePoint; got != came {
		t.Errorf("the last position is %+v, want %+v", got, came)
	}
	if got := expect(t, snapshotting, "heartbeat").ResumePoint; got != snapshotUpTo {
		t.Errorf("the last position is %+v, want %+v", got, snapshotUpTo)
	}
	expectEnd(t, waiting, watch.ErrStopping)
	expectEnd(t, snapshotting, watch.ErrStopping)
	if _, err := f.Watch(t.Context(), "caller", ticket.Filter{}, nil); !errors.Is(err, watch.ErrStopping) {
		t.Errorf("a watcher that comes later: %v, want ErrStopping", err)
	}
}

func TestWatcher_Next_contextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(t, newMemory(), watch.DefaultLimits())
		w := mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, w, "heartbeat")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next = %v, want DeadlineExceeded", err)
		}
	})
}
