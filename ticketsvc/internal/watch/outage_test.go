package watch_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// TestFeed_Stop_databaseHangs stops while a watcher reads, and others wait for their turn.
func TestFeed_Stop_databaseHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory()
		log.record(updated("a1", "a", "open"))
		log.before = func(ctx context.Context, method string) error {
			if method == "ReadSnapshot" {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		f := newFeed(t, log, watch.DefaultLimits())
		var all []*watch.Watcher
		for range 20 {
			all = append(all, mustWatch(t, f, ticket.Filter{}, nil))
		}
		var watching sync.WaitGroup
		begin := time.Now()
		for _, w := range all {
			watching.Go(func() {
				m, err := w.Next(t.Context())
				if err != nil || m.Kind != watch.Heartbeat {
					t.Errorf("%q, %v; want a heartbeat", said(m), err)
				}
				if _, err := w.Next(t.Context()); !errors.Is(err, watch.ErrStopping) {
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

// TestFeed_databaseAway has a database that fails, or does not answer, for a short time and for a long one.
func TestFeed_databaseAway(t *testing.T) {
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
				limits := watch.DefaultLimits()
				limits.Page.Items = 1
				f := watch.New(log, limits, notices(func(error) { errs.Add(1) }, func() { recoveries.Add(1) }))
				t.Cleanup(f.Close)
				follow := func() *watch.Watcher {
					w, err := f.Watch(t.Context(), "caller", ticket.Filter{}, nil)
					if err != nil {
						t.Fatal(err)
					}
					return w
				}
				w, snapshotting := follow(), follow()
				expect(t, w, "heartbeat")
				synctest.Wait() // The tail has begun.
				away.Store(true)
				log.record(updated("a1", "a", "open"))
				// Who has no need of the database waits for it, for a while.
				time.Sleep(limits.Heartbeat / 3)
				away.Store(false)
				begin := time.Now()
				position := expect(t, w, "a by a1 is open").ResumePoint
				if took := time.Since(begin); took > limits.ReadTimeout+limits.Poll {
					t.Errorf("it takes %v to go on", took)
				}
				time.Sleep(limits.Poll)
				if errs.Load() != 1 || recoveries.Load() != 1 {
					t.Errorf("%d errors and %d recoveries are reported, want 1 of each", errs.Load(), recoveries.Load())
				}
				// Then it is better off elsewhere.
				away.Store(true)
				log.record(updated("a2", "a", "open"))
				var both sync.WaitGroup
				begin = time.Now()
				both.Go(func() {
					if m, err := snapshotting.Next(t.Context()); !errors.Is(err, ticket.ErrUnavailable) {
						t.Errorf("in the snapshot it gets %q, %v; want ErrUnavailable", said(m), err)
					}
					if _, err := f.Watch(t.Context(), "caller", ticket.Filter{}, nil); !errors.Is(err, ticket.ErrUnavailable) {
						t.Errorf("a watcher that comes meanwhile: %v, want ErrUnavailable", err)
					}
					if took := time.Since(begin); took > 2*limits.ReadTimeout {
						t.Errorf("it took %v", took)
					}
				})
				var end error
				for m := (watch.Message{Kind: watch.Heartbeat}); end == nil; m, end = w.Next(t.Context()) {
					if m.Kind != watch.Heartbeat {
						t.Errorf("it gets %q", said(m))
					}
				}
				if took := time.Since(begin); !errors.Is(end, ticket.ErrUnavailable) || took < limits.Heartbeat/2 ||
					took > limits.Heartbeat+limits.ReadTimeout+limits.Poll {
					t.Errorf("it ends with %v after %v", end, took)
				}
				both.Wait()
				snapshotting.Close()
				w.Close()
				time.Sleep(time.Minute)
				away.Store(false)
				expect(t, mustWatch(t, f, ticket.Filter{}, &position), "a by a2 is open", "heartbeat")
				time.Sleep(limits.Poll)
				if errs.Load() != 2 || recoveries.Load() != 2 {
					t.Errorf("%d errors and %d recoveries are reported, want 2 of each", errs.Load(), recoveries.Load())
				}
			})
		})
	}
}

// TestFeed_tailFails has a log that can't be read, in a database that answers otherwise.
func TestFeed_tailFails(t *testing.T) {
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
		f := watch.New(log, watch.DefaultLimits(), notices(func(error) {}, func() {}))
		t.Cleanup(f.Close)
		w := mustWatch(t, f, ticket.Filter{}, nil)
		position := expect(t, w, "a is open", "heartbeat", "heartbeat").ResumePoint
		expectEnd(t, w, ticket.ErrUnavailable)
		// A new watcher gets no heartbeat that reports that it has caught up.
		expectEnd(t, mustWatch(t, f, ticket.Filter{}, &position), ticket.ErrUnavailable)
	})
}
