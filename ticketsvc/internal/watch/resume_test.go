package watch_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

func TestFeed_Watch_positionsOfOtherLogs(t *testing.T) {
	t.Parallel()
	log, other := newMemory(), newMemory()
	log.record(updated("a1", "a", "open"))
	other.record(updated("b1", "a", "open"), updated("b2", "a", "open"))
	f := newFeed(t, log, watch.DefaultLimits())
	otherFeed := newFeed(t, other, watch.DefaultLimits())
	for sequence := int64(1); sequence <= 2; sequence++ {
		mark, err := other.PositionAt(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		for _, position := range []watch.ResumePoint{{Position: mark}, {Position: mark, Snapshot: true, TicketID: "a"}} {
			if _, err := f.Watch(t.Context(), "caller", ticket.Filter{}, &position); !errors.Is(err, watch.ErrNotInLog) {
				t.Errorf("from position %d of another log: %v, want ErrNotInLog", sequence, err)
			}
			mustWatch(t, otherFeed, ticket.Filter{}, &position)
		}
	}
	// The one that failed does not count.
	limits := watch.DefaultLimits()
	limits.Watchers = 1
	one := newFeed(t, log, limits)
	lost := watch.ResumePoint{Position: ticket.LogPosition{Sequence: 9}}
	if _, err := one.Watch(t.Context(), "caller", ticket.Filter{}, &lost); !errors.Is(err, watch.ErrNotInLog) {
		t.Error(err)
	}
	w := mustWatch(t, one, ticket.Filter{}, nil)
	if _, err := one.Watch(t.Context(), "caller", ticket.Filter{}, nil); !errors.Is(err, watch.ErrTooManyWatchers) {
		t.Errorf("one watcher too many: %v, want ErrFull", err)
	}
	expect(t, w, "a is open", "heartbeat")
}

// TestWatcher_Next_logReplaced has a database that goes on from a backup, or from a replica that had not all commits, under a feed.
func TestWatcher_Next_logReplaced(t *testing.T) {
	t.Parallel()
	for name, instead := range map[string]int{"by a shorter one": 0, "by one as long": 2, "by a longer one": 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newMemory()
				log.record(updated("a1", "a", "open"), updated("a2", "a", "open"))
				var errs []error
				f := watch.New(log, watch.DefaultLimits(), notices(func(err error) { errs = append(errs, err) }, func() {}))
				t.Cleanup(f.Close)
				old := mustWatch(t, f, ticket.Filter{}, nil)
				kept := expect(t, old, "a is open", "heartbeat").ResumePoint
				log.record(updated("a3", "a", "open"), updated("a4", "a", "open"))
				lost := expect(t, old, "a by a3 is open", "a by a4 is open").ResumePoint
				log.mu.Lock()
				log.changes = log.changes[:2:2]
				log.mu.Unlock()
				for i := range instead {
					log.record(updated(fmt.Sprint("b", i), "b", "open"))
				}
				expectEnd(t, old, watch.ErrLogReplaced)
				synctest.Wait()
				if len(errs) != 1 || !errors.Is(errs[0], watch.ErrNotInLog) {
					t.Errorf("the feed has the errors %v, want one ErrNotInLog", errs)
				}
				if _, err := f.Watch(t.Context(), "caller", ticket.Filter{}, &lost); !errors.Is(err, watch.ErrNotInLog) {
					t.Errorf("from a position that is lost: %v, want ErrNotInLog", err)
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

// TestWatcher_Next_logReplacedAheadOfTheTail has a position that the tail has not come to when the log is replaced.
func TestWatcher_Next_logReplacedAheadOfTheTail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.deaf = true
		f := newFeed(t, log, watch.DefaultLimits())
		expect(t, mustWatch(t, f, ticket.Filter{}, nil), "heartbeat")
		synctest.Wait()
		log.record(updated("a1", "a", "open"))
		mark, err := log.PositionAt(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		ahead := mustWatch(t, f, ticket.Filter{}, &watch.ResumePoint{Position: mark})
		log.mu.Lock()
		log.changes = nil
		log.mu.Unlock()
		log.record(updated("b1", "a", "open"), updated("b2", "a", "open"))
		expectEnd(t, ahead, watch.ErrNotInLog)
	})
}

func TestWatcher_Next_gapInTheLog(t *testing.T) {
	t.Parallel()
	log := newMemory()
	log.record(updated("a1", "a", "open"), updated("a2", "a", "open"))
	f := newFeed(t, gap{log}, watch.DefaultLimits())
	expectEnd(t, mustWatch(t, f, ticket.Filter{}, &watch.ResumePoint{}), watch.ErrNotInLog)
	// It is behind whoever starts again.
	again := mustWatch(t, f, ticket.Filter{}, nil)
	expect(t, again, "a is open", "heartbeat")
	log.record(updated("a3", "a", "open"))
	expect(t, again, "a by a3 is open")
}

// gap is a log without its first position.
type gap struct{ *memory }

func (g gap) ReadLog(ctx context.Context, after int64, limit ticket.PageLimit) ([]ticket.Entry, error) {
	return g.memory.ReadLog(ctx, max(1, after), limit)
}
