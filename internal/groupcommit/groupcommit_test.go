package groupcommit_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/groupcommit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a commit function that doubles its items, records the batches, and can be blocked.
type recorder struct {
	mu      sync.Mutex
	batches [][]int
	started chan struct{} // receives when a commit begins
	release chan struct{} // a commit waits for it
	fail    func([]int) error
}

func (r *recorder) commit(_ context.Context, items []int) ([]int, error) {
	if r.started != nil {
		r.started <- struct{}{}
		<-r.release
	}
	r.mu.Lock()
	r.batches = append(r.batches, slices.Clone(items))
	r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(items); err != nil {
			return nil, err
		}
	}
	results := make([]int, len(items))
	for i, item := range items {
		results[i] = 2 * item
	}
	return results, nil
}

// letAllCommit lets every commit continue, until started is closed.
func (r *recorder) letAllCommit() {
	for range r.started {
		r.release <- struct{}{}
	}
}

func closeNow(t *testing.T, c *groupcommit.Committer[int, int]) {
	t.Helper()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDo_batchIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{started: make(chan struct{}), release: make(chan struct{})}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 8, MaxQueue: 8, MaxBytes: 10,
			Size: func(item *int) int { return *item }})
		var callers sync.WaitGroup
		for i, item := range []int{1, 4, 6, 1, 99, 2} {
			callers.Go(func() {
				if got, err := c.Do(t.Context(), item); err != nil || got != 2*item {
					t.Errorf("Do(%d) = %d, %v", item, got, err)
				}
			})
			if i == 0 {
				// The first item is being committed while the others arrive.
				<-r.started
			}
			synctest.Wait()
		}
		go r.letAllCommit()
		r.release <- struct{}{}
		callers.Wait()
		closeNow(t, c)
		close(r.started)
		want := [][]int{{1}, {4, 6}, {1}, {99}, {2}}
		if !slices.EqualFunc(want, r.batches, slices.Equal) {
			t.Errorf("batches %v, want %v", r.batches, want)
		}
	})
}

func TestDo_itemsDuringACommitShareTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{started: make(chan struct{}), release: make(chan struct{})}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 8, MaxQueue: 8})
		var callers sync.WaitGroup
		do := func(item int) {
			callers.Go(func() {
				if got, err := c.Do(t.Context(), item); err != nil || got != 2*item {
					t.Errorf("Do(%d) = %d, %v", item, got, err)
				}
			})
		}
		do(1)
		<-r.started
		for item := 2; item <= 6; item++ {
			do(item)
		}
		synctest.Wait()
		r.release <- struct{}{}
		<-r.started
		r.release <- struct{}{}
		callers.Wait()
		if len(r.batches) != 2 || len(r.batches[0]) != 1 || len(r.batches[1]) != 5 {
			t.Errorf("batches = %v, want one of 1 and one of 5", r.batches)
		}
		closeNow(t, c)
	})
}

func TestDo_batchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{started: make(chan struct{}), release: make(chan struct{})}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 2, MaxQueue: 8})
		var callers sync.WaitGroup
		for item := range 5 {
			callers.Go(func() {
				if _, err := c.Do(t.Context(), item); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		go r.letAllCommit()
		callers.Wait()
		closeNow(t, c)
		close(r.started)
		for _, batch := range r.batches {
			if len(batch) > 2 {
				t.Errorf("a batch of %d, want at most 2", len(batch))
			}
		}
	})
}

func TestDo_fullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{started: make(chan struct{}), release: make(chan struct{}, 3)}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 1, MaxQueue: 1})
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = c.Do(t.Context(), 1) })
		<-r.started
		callers.Go(func() { _, _ = c.Do(t.Context(), 2) })
		synctest.Wait()
		if _, err := c.Do(t.Context(), 3); !errors.Is(err, groupcommit.ErrQueueFull) {
			t.Errorf("Do with a full queue: %v, want ErrQueueFull", err)
		}
		r.release <- struct{}{}
		<-r.started
		r.release <- struct{}{}
		callers.Wait()
		closeNow(t, c)
	})
}

func TestDo_cancelledCallerDoesNotStopTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{started: make(chan struct{}), release: make(chan struct{})}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 1, MaxQueue: 1})
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error)
		go func() {
			_, err := c.Do(ctx, 1)
			answer <- err
		}()
		<-r.started
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("Do = %v, want context.Canceled", err)
		}
		r.release <- struct{}{}
		closeNow(t, c)
		if len(r.batches) != 1 {
			t.Errorf("%d commits, want 1", len(r.batches))
		}
	})
}

func TestDo_badItemFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errBad := errors.New("bad item")
		r := &recorder{started: make(chan struct{}), release: make(chan struct{}), fail: func(items []int) error {
			if slices.Contains(items, 3) {
				return errBad
			}
			return nil
		}}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 8, MaxQueue: 8,
			MayBeItemsFault: func(err error) bool { return errors.Is(err, errBad) }})
		var mu sync.Mutex
		failed := map[int]error{}
		var callers sync.WaitGroup
		for item := 1; item <= 5; item++ {
			callers.Go(func() {
				if _, err := c.Do(t.Context(), item); err != nil {
					mu.Lock()
					failed[item] = err
					mu.Unlock()
				}
			})
		}
		go r.letAllCommit()
		callers.Wait()
		if len(failed) != 1 || !errors.Is(failed[3], errBad) {
			t.Errorf("failed = %v, want only item 3", failed)
		}
		closeNow(t, c)
		close(r.started)
	})
}

func TestDo_panickingItemFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{started: make(chan struct{}), release: make(chan struct{}), fail: func(items []int) error {
			if slices.Contains(items, 3) {
				panic("what a tenant wrote")
			}
			return nil
		}}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 8, MaxQueue: 8,
			MayBeItemsFault: func(err error) bool { return errors.Is(err, groupcommit.ErrPanicked) }})
		errs := make([]error, 6)
		var callers sync.WaitGroup
		for item := range errs {
			callers.Go(func() { _, errs[item] = c.Do(t.Context(), item) })
		}
		go r.letAllCommit()
		callers.Wait()
		for item, err := range errs {
			if errors.Is(err, groupcommit.ErrPanicked) != (item == 3) || item != 3 && err != nil {
				t.Errorf("item %d: %v", item, err)
			}
		}
		if text := errs[3].Error(); strings.Contains(text, "tenant") || !strings.Contains(text, "groupcommit_test.go") {
			t.Errorf("the error is %q, want the stack trace without the value", text)
		}
		closeNow(t, c)
		close(r.started)
	})
}

func TestDo_errorOfNoItemFailsTheBatchOnce(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk is gone")
	r := &recorder{fail: func([]int) error { return errDisk }}
	c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 8, MaxQueue: 64})
	var callers sync.WaitGroup
	for item := range 32 {
		callers.Go(func() {
			if _, err := c.Do(t.Context(), item); !errors.Is(err, errDisk) {
				t.Errorf("Do = %v, want errDisk", err)
			}
		})
	}
	callers.Wait()
	closeNow(t, c)
	items := 0
	for _, batch := range r.batches {
		items += len(batch)
	}
	if items != 32 {
		t.Errorf("%d items were tried, want each of 32 once", items)
	}
}

func TestDo_commitWithMissingResults(t *testing.T) {
	t.Parallel()
	c := groupcommit.New(func(context.Context, []int) ([]int, error) { return nil, nil },
		groupcommit.Options[int, int]{MaxBatch: 1, MaxQueue: 1})
	if _, err := c.Do(t.Context(), 1); err == nil {
		t.Error("Do succeeded without a result")
	}
	closeNow(t, c)
}

func TestClose_commitsTakenItemsAndRefusesMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{started: make(chan struct{}), release: make(chan struct{})}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 4, MaxQueue: 4})
		var callers sync.WaitGroup
		for item := range 3 {
			callers.Go(func() {
				if _, err := c.Do(t.Context(), item); err != nil {
					t.Errorf("Do(%d) = %v; it was taken before Close", item, err)
				}
			})
		}
		synctest.Wait()
		ended, end := context.WithCancel(t.Context())
		end()
		if err := c.Close(ended); err == nil {
			t.Error("Close returned nil while a commit is held up")
		}
		if _, err := c.Do(t.Context(), 9); !errors.Is(err, groupcommit.ErrClosed) {
			t.Errorf("Do after Close: %v, want ErrClosed", err)
		}
		go r.letAllCommit()
		closeNow(t, c)
		callers.Wait()
		close(r.started)
	})
}

func TestDoAll_sharesBatchesAndAnswersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errBad := errors.New("bad item")
		r := &recorder{started: make(chan struct{}), release: make(chan struct{}), fail: func(items []int) error {
			if slices.Contains(items, 3) {
				return errBad
			}
			return nil
		}}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 4, MaxQueue: 6,
			MayBeItemsFault: func(err error) bool { return errors.Is(err, errBad) }})
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = c.Do(t.Context(), 100) })
		<-r.started
		callers.Go(func() { _, _ = c.Do(t.Context(), 200) })
		synctest.Wait()
		// The queue has space for five of them.
		var results []groupcommit.Result[int]
		callers.Go(func() {
			var err error
			if results, err = c.DoAll(t.Context(), []int{1, 2, 3, 4, 5, 6, 7}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		go r.letAllCommit()
		r.release <- struct{}{}
		callers.Wait()
		want := []groupcommit.Result[int]{{Value: 2}, {Value: 4}, {Err: errBad}, {Value: 8}, {Value: 10},
			{Err: groupcommit.ErrQueueFull}, {Err: groupcommit.ErrQueueFull}}
		if !slices.Equal(want, results) {
			t.Errorf("results %v, want %v", results, want)
		}
		if want := []int{200, 1, 2, 3}; len(r.batches) < 2 || !slices.Equal(r.batches[1], want) {
			t.Errorf("batches %v, want that the second is %v", r.batches, want)
		}
		if results, err := c.DoAll(t.Context(), nil); err != nil || len(results) != 0 {
			t.Errorf("DoAll without items: %v, %v", results, err)
		}
		closeNow(t, c)
		close(r.started)
		if results, err := c.DoAll(t.Context(), []int{1}); err != nil || !errors.Is(results[0].Err, groupcommit.ErrClosed) {
			t.Errorf("DoAll after Close: %v, %v; want ErrClosed", results, err)
		}
	})
}

func TestDoAll_endsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{started: make(chan struct{}), release: make(chan struct{})}
		c := groupcommit.New(r.commit, groupcommit.Options[int, int]{MaxBatch: 1, MaxQueue: 4})
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan error)
		go func() {
			_, err := c.DoAll(ctx, []int{1, 2, 3})
			answer <- err
		}()
		// The first item is committed, and the second is not when the caller leaves.
		<-r.started
		r.release <- struct{}{}
		<-r.started
		cancel()
		if err := <-answer; !errors.Is(err, context.Canceled) {
			t.Errorf("DoAll = %v, want context.Canceled", err)
		}
		go r.letAllCommit()
		r.release <- struct{}{}
		closeNow(t, c)
		close(r.started)
		if want := [][]int{{1}, {2}, {3}}; !slices.EqualFunc(want, r.batches, slices.Equal) {
			t.Errorf("batches %v, want %v", r.batches, want)
		}
	})
}

// TestDo_deferredItemsBeginTheNextBatch has a commit that accepts items up to a sum of 10.
func TestDo_deferredItemsBeginTheNextBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches [][]int
		begun, release := make(chan struct{}), make(chan struct{})
		c := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
			if len(batches) == 0 {
				close(begun)
				<-release
			}
			batches = append(batches, slices.Clone(items))
			results, sum := make([]int, len(items)), 0
			for i, item := range items {
				if sum += item; i > 0 && sum > 10 {
					results[i] = -1
				}
			}
			return results, nil
		}, groupcommit.Options[int, int]{MaxBatch: 4, MaxQueue: 16, MaxBytes: 40, Size: func(item *int) int { return *item },
			Deferred: func(result *int) bool { return *result < 0 }})
		var callers sync.WaitGroup
		callers.Go(func() { _, _ = c.Do(t.Context(), 1) })
		<-begun
		callers.Go(func() {
			results, err := c.DoAll(t.Context(), []int{6, 7, 20, 3, 8, 1})
			if err != nil || slices.ContainsFunc(results, func(r groupcommit.Result[int]) bool { return r.Value < 0 || r.Err != nil }) {
				t.Errorf("results %v, %v", results, err)
			}
		})
		synctest.Wait()
		close(release)
		callers.Wait()
		closeNow(t, c)
		// The batch of {20, 3, 8} has no space for the bytes of another item.
		want := [][]int{{1}, {6, 7, 20, 3}, {7, 20, 3, 8}, {20, 3, 8, 1}, {3, 8, 1}, {8, 1}}
		if !slices.EqualFunc(want, batches, slices.Equal) {
			t.Errorf("batches %v, want %v", batches, want)
		}
	})
}

func TestDo_batchDeferredAsAWhole(t *testing.T) {
	t.Parallel()
	c := groupcommit.New(func(_ context.Context, items []int) ([]int, error) { return items, nil },
		groupcommit.Options[int, int]{MaxBatch: 1, MaxQueue: 1, Deferred: func(*int) bool { return true }})
	if _, err := c.Do(t.Context(), 1); err == nil {
		t.Error("Do succeeded without a commit")
	}
	closeNow(t, c)
}
