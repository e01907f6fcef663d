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

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

func TestFeed_stuckWatcher(t *testing.T) {
	t.Parallel()
	log := newMemory()
	limits := watch.DefaultLimits()
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
			for position := int64(1); position <= events; position++ {
				m, err := w.Next(t.Context())
				if err == nil && m.ResumePoint.Position.Sequence != position && m.Kind != watch.Heartbeat {
					err = fmt.Errorf("%d where %d is due", m.ResumePoint.Position.Sequence, position)
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
		c.Fields = c.Fields.With(titleField)
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

func TestFeed_withoutWatchers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		var calls atomic.Int64
		log.before = func(context.Context, string) error { calls.Add(1); return nil }
		f := newFeed(t, log, watch.DefaultLimits())
		log.record(updated("a1", "a", "open"))
		time.Sleep(time.Minute)
		if calls.Load() != 0 {
			t.Errorf("%d calls without a watcher", calls.Load())
		}
		w, err := f.Watch(t.Context(), "caller", ticket.Filter{}, nil)
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

// TestFeed_readLimits has as many watchers as want to read a database that does not answer.
func TestFeed_readLimits(t *testing.T) {
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
		f := watch.New(log, watch.DefaultLimits(), notices(func(error) {}, func() {}))
		t.Cleanup(f.Close)
		var watching sync.WaitGroup
		for i := range 20 {
			watching.Go(func() {
				if _, err := f.Watch(t.Context(), limits.Caller(fmt.Sprint("caller ", i%2)), ticket.Filter{}, nil); err == nil {
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

// TestFeed_Watch_tooManyReads has watchers that wait for their turn to read for longer than a watcher may hear nothing.
func TestFeed_Watch_tooManyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.before = func(_ context.Context, method string) error {
			if method == "LastPosition" {
				time.Sleep(9 * time.Second)
			}
			return nil
		}
		f := newFeed(t, log, watch.DefaultLimits())
		var watching sync.WaitGroup
		var begun, busy atomic.Int64
		for i := range 20 {
			watching.Go(func() {
				w, err := f.Watch(t.Context(), limits.Caller(fmt.Sprint("caller ", i%2)), ticket.Filter{}, nil)
				switch {
				case err == nil:
					w.Close()
					begun.Add(1)
				case errors.Is(err, watch.ErrTooManyReads) && !errors.Is(err, ticket.ErrUnavailable):
					busy.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		watching.Wait()
		if begun.Load() != 4 || busy.Load() != 16 {
			t.Errorf("%d watchers began and %d got ErrTooManyReads, want 4 and 16", begun.Load(), busy.Load())
		}
	})
}

// TestFeed_wakesWatchersInSteps has an event each millisecond: that is no reason to wake all watchers each millisecond.
func TestFeed_wakesWatchersInSteps(t *testing.T) {
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
		f := newFeed(t, log, watch.DefaultLimits())
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

// TestWatcher_snapshot_limitOfOneCaller has twenty watchers of one caller in a snapshot of which no part ends. The snapshot of another
// caller goes on.
func TestWatcher_snapshot_limitOfOneCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.record(updated("a1", "a", "open"))
		letGo := make(chan struct{})
		var snapshotting atomic.Int64
		isBlocked := true
		log.before = func(_ context.Context, method string) error {
			if method == "ReadSnapshot" && isBlocked {
				snapshotting.Add(1)
				<-letGo
			}
			return nil
		}
		bounds := watch.DefaultLimits()
		bounds.ReadTimeout = time.Hour
		f := newFeed(t, log, bounds)
		var watching sync.WaitGroup
		for range 20 {
			watching.Go(func() {
				w, err := f.Watch(t.Context(), "greedy", ticket.Filter{}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer w.Close()
				for said := false; !said; {
					m, err := w.Next(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					said = m.Kind == watch.Change
				}
			})
		}
		synctest.Wait()
		if got := snapshotting.Load(); got != 1 {
			t.Errorf("one caller reads %d snapshots at once, want 1 of 2", got)
		}
		isBlocked = false
		begin := time.Now()
		w := mustWatch(t, f, ticket.Filter{}, nil)
		expect(t, w, "a is open", "heartbeat")
		if took := time.Since(begin); took != 0 {
			t.Errorf("another caller's snapshot waited %v", took)
		}
		// Those that wait hear that they do.
		time.Sleep(time.Minute)
		close(letGo)
		watching.Wait()
	})
}

func TestFeed_Watch_limitOfOneCaller(t *testing.T) {
	t.Parallel()
	bounds := watch.DefaultLimits()
	bounds.WatchersPerCaller = 2
	f := newFeed(t, newMemory(), bounds)
	first := mustWatch(t, f, ticket.Filter{}, nil)
	mustWatch(t, f, ticket.Filter{}, nil)
	if _, err := f.Watch(t.Context(), "caller", ticket.Filter{}, nil); !errors.Is(err, watch.ErrTooManyOfCaller) {
		t.Errorf("a third watcher = %v, want ErrCallerFull", err)
	}
	other, err := f.Watch(t.Context(), "other", ticket.Filter{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	f.LimitCallers(3)
	third, err := f.Watch(t.Context(), "caller", ticket.Filter{}, nil)
	if err != nil {
		t.Fatalf("a third watcher of three = %v", err)
	}
	third.Close()
	expect(t, first, "heartbeat")
}
