package watch_test

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

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

func TestWatcher_Next_unreadableTicket(t *testing.T) {
	t.Parallel()
	log := newMemory()
	f := newFeed(t, log, watch.DefaultLimits())
	w := mustWatch(t, f, closed, nil)
	expect(t, w, "heartbeat")
	log.corrupt["b"] = true
	log.record(updated("a1", "a", "closed"), updated("b1", "b", "open"), updated("c1", "c", "closed"))
	before := expect(t, w, "a by a1 is closed").ResumePoint
	expectEnd(t, w, ticket.ErrCorrupt)
	// Later watchers get the same error, until the ticket's data is repaired or the ticket is erased.
	again := mustWatch(t, f, closed, &before)
	expectEnd(t, again, ticket.ErrCorrupt)
	snapshotting := mustWatch(t, f, closed, nil)
	expectEnd(t, snapshotting, ticket.ErrCorrupt)
	log.mu.Lock()
	log.corrupt["b"] = false
	log.mu.Unlock()
	log.erase("b")
	expect(t, mustWatch(t, newFeed(t, log, watch.DefaultLimits()), closed, &before), "c by c1 is closed", "b is erased")
}

func TestWatcher_ticketBefore_readOnceForAll(t *testing.T) {
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
		f := newFeed(t, log, watch.DefaultLimits())
		var all []*watch.Watcher
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

// TestWatcher_ticketBefore_slow has one that never ends: whoever comes again would come to it again.
func TestWatcher_ticketBefore_slow(t *testing.T) {
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
		limits := watch.DefaultLimits()
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

// TestWatcher_ticketBefore_databaseHangs is the other reason for a look back that takes too long.
func TestWatcher_ticketBefore_databaseHangs(t *testing.T) {
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
		f := watch.New(log, watch.DefaultLimits(), notices(func(error) {}, func() {}))
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

// TestWindow_charge_ticketsBefore has events that are small themselves, of tickets that were large before.
func TestWindow_charge_ticketsBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		limits := watch.DefaultLimits()
		limits.WindowBytes = 100_000
		f := newFeed(t, log, limits)
		w := mustWatch(t, f, ticket.Filter{Text: "none"}, nil)
		expect(t, w, "heartbeat")
		synctest.Wait()
		const tickets = 20
		for i := range tickets {
			large, small := updated(fmt.Sprint("a", i), fmt.Sprint("t", i), "open"), updated(fmt.Sprint("b", i), fmt.Sprint("t", i), "open")
			large.Fields, small.Fields = large.Fields.With(titleField), small.Fields.With(titleField)
			large.Values.Title = strings.Repeat("x ", 10_000)
			if i == tickets-1 {
				large.Values.Title += "none"
			}
			log.record(large, small)
		}
		expect(t, w, fmt.Sprintf("t%d leaves by b%d", tickets-1, tickets-1))
		if entries, bytes := f.WindowSize(); bytes > limits.WindowBytes || bytes < 70_000 || entries > 10 {
			t.Errorf("the window has %d entries with %d bytes", entries, bytes)
		}
	})
}

func TestWatcher_classify_tooManyEvents(t *testing.T) {
	t.Parallel()
	log := newMemory()
	limits := watch.DefaultLimits()
	limits.Before.Items = 3
	w := mustWatch(t, newFeed(t, log, limits), closed, nil)
	expect(t, w, "heartbeat")
	for i := range 5 {
		log.record(updated(fmt.Sprint("e", i), "a", "open"))
	}
	expect(t, w, "a leaves by e4")
}
