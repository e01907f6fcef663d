// Package groupcommit lets many concurrent callers share one transaction.
//
// A durable commit costs about the same for one row as for five hundred, because most of it is the wait for the disk. So callers hand
// their items to a [Committer]; while one batch is being committed the next gathers, and each caller is answered once the batch
// that holds its item is on disk. The queue in front is bounded: when it is full callers are told at once, rather than made to wait
// behind work that can't be done in time.
package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
)

var (
	// ErrQueueFull says that the item was not taken, because as many as may wait are waiting.
	ErrQueueFull = errors.New("groupcommit: queue is full")
	// ErrClosed says that the item was not taken, because the committer is stopping.
	ErrClosed = errors.New("groupcommit: closed")
	// ErrPanicked says that the commit panicked. The text has the type of what it panicked with, and where, but not the value, which can
	// hold what the items do.
	ErrPanicked = errors.New("groupcommit: the commit panicked")
)

// Options bounds a [Committer].
type Options[T, R any] struct {
	// MaxBatch is the most items that one commit gets. At least 1.
	MaxBatch int
	// MaxBytes is about how large the items of one commit are together at most, by Size; a single one may be larger. 0 means that
	// only their number counts.
	MaxBytes int
	// Size returns about how many bytes an item has.
	Size func(*T) int
	// MaxQueue is the most items that wait for a commit to begin. At least 1.
	MaxQueue int
	// MayBeItemsFault tells whether an error of a batch can come from one of its items. Such a batch is committed again item by item, so
	// that a bad item fails alone. Nil means that no error is an item's fault.
	MayBeItemsFault func(error) bool
	// Deferred reports whether a result says that the commit left the item for the next batch, which then begins with it. The first item of
	// a batch is never left. Nil means that no item ever is.
	Deferred func(*R) bool
}

// Result is what became of one item.
type Result[R any] struct {
	Value R
	Err   error
}

// Committer gathers items of type T into batches, and hands each caller its items' results of type R.
type Committer[T, R any] struct {
	commit  func(context.Context, []T) ([]R, error)
	options Options[T, R]
	queue   chan *request[T, R]
	stopped chan struct{}

	// closing guards the queue against a send after it was closed: senders hold it for reading.
	closing sync.RWMutex
	closed  bool
}

// request is one item of a call.
type request[T, R any] struct {
	item   *T
	result Result[R]
	call   *call
}

// call is what the requests of one caller share.
type call struct {
	// open is how many of them are not answered.
	open atomic.Int64
	// done is closed once all are answered.
	done chan struct{}
}

// answer gives a request its result.
func (r *request[T, R]) answer(value R, err error) {
	r.result = Result[R]{Value: value, Err: err}
	if r.call.open.Add(-1) == 0 {
		close(r.call.done)
	}
}

// New starts a committer. End it with [Committer.Close].
//
// commit makes one batch durable: it returns a result for each item, in their order, or an error when nothing of the batch was
// committed as far as it knows. It is called from one goroutine, and with a context that no caller can cancel: a cancelled commit
// would leave it open whether the others' items are on disk. One that panics fails with [ErrPanicked].
func New[T, R any](commit func(context.Context, []T) ([]R, error), options Options[T, R]) *Committer[T, R] {
	c := &Committer[T, R]{
		commit:  commit,
		options: options,
		queue:   make(chan *request[T, R], max(1, options.MaxQueue)),
		stopped: make(chan struct{}),
	}
	go c.loop()
	return c
}

// Do adds item to a batch and waits until that batch is committed.
//
// It returns [ErrQueueFull] or [ErrClosed] when the item was not taken, the error of the commit when the batch failed, and ctx's
// error when ctx ended first; in that last case the item may still be committed.
func (c *Committer[T, R]) Do(ctx context.Context, item T) (result R, err error) {
	requests := [1]request[T, R]{{item: &item}}
	if err := c.do(ctx, requests[:]); err != nil {
		return result, err
	}
	return requests[0].result.Value, requests[0].result.Err
}

// DoAll is as [Committer.Do] for several items, which share batches with those of other callers. Each has its own result, in the order of
// the items. The error is ctx's. The items must not be changed afterwards.
func (c *Committer[T, R]) DoAll(ctx context.Context, items []T) ([]Result[R], error) {
	requests := make([]request[T, R], len(items))
	for i := range items {
		requests[i].item = &items[i]
	}
	if err := c.do(ctx, requests); err != nil {
		return nil, err
	}
	results := make([]Result[R], len(items))
	for i := range requests {
		results[i] = requests[i].result
	}
	return results, nil
}

// do returns once all requests are answered, or with ctx's error.
func (c *Committer[T, R]) do(ctx context.Context, requests []request[T, R]) error {
	if len(requests) == 0 {
		return nil
	}
	call := &call{done: make(chan struct{})}
	call.open.Store(int64(len(requests)))
	c.enqueue(call, requests)
	select {
	case <-call.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close takes no more items, commits those that were taken, and returns once all are answered or ctx ends.
func (c *Committer[T, R]) Close(ctx context.Context) error {
	c.closing.Lock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
	c.closing.Unlock()
	select {
	case <-c.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("groupcommit: still committing: %w", context.Cause(ctx))
	}
}

// enqueue puts the requests of a call into the queue, and answers those that it does not take.
func (c *Committer[T, R]) enqueue(call *call, requests []request[T, R]) {
	c.closing.RLock()
	defer c.closing.RUnlock()
	var none R
	for i := range requests {
		r := &requests[i]
		r.call = call
		if c.closed {
			r.answer(none, ErrClosed)
			continue
		}
		select {
		case c.queue <- r:
		default:
			r.answer(none, ErrQueueFull)
		}
	}
}

func (c *Committer[T, R]) loop() {
	defer close(c.stopped)
	maxBatch := max(1, c.options.MaxBatch)
	batch := make([]*request[T, R], 0, maxBatch)
	items := make([]T, 0, maxBatch)
	// waiting were taken from the queue and come before it: those that the commit left, and one that did not fit.
	var waiting []*request[T, R]
	for {
		bytes := 0
		batch = batch[:0]
		for len(batch) < maxBatch {
			r, ok := c.next(&waiting, len(batch) == 0)
			if !ok {
				break
			}
			if bytes += c.size(r); len(batch) > 0 && bytes > c.options.MaxBytes && c.options.MaxBytes > 0 {
				waiting = slices.Insert(waiting, 0, r)
				break
			}
			batch = append(batch, r)
		}
		if len(batch) == 0 {
			return
		}
		items = items[:0]
		for _, r := range batch {
			items = append(items, *r.item)
		}
		waiting = append(c.settle(batch, items), waiting...)
		// Let go of what the items hold (bodies, contexts) until the next batch overwrites them.
		clear(batch)
		clear(items)
	}
}

// next takes the next request, of those that wait or else of the queue. It returns false when there is none: with wait only at the end of a
// closed queue.
func (c *Committer[T, R]) next(waiting *[]*request[T, R], wait bool) (r *request[T, R], ok bool) {
	if len(*waiting) > 0 {
		r, *waiting = (*waiting)[0], (*waiting)[1:]
		return r, true
	}
	if wait {
		r, ok = <-c.queue
		return r, ok
	}
	select {
	case r, ok = <-c.queue:
		return r, ok
	default:
		return nil, false
	}
}

func (c *Committer[T, R]) size(r *request[T, R]) int {
	if c.options.Size == nil {
		return 0
	}
	return c.options.Size(r.item)
}

// settle commits a batch and answers its callers. It returns those requests that the commit left.
func (c *Committer[T, R]) settle(batch []*request[T, R], items []T) (left []*request[T, R]) {
	results, err := c.callCommit(items)
	if err != nil && len(batch) > 1 && c.options.MayBeItemsFault != nil && c.options.MayBeItemsFault(err) {
		for i := range batch {
			c.settle(batch[i:i+1], items[i:i+1])
		}
		return nil
	}
	for i, r := range batch {
		switch {
		case err != nil:
			var none R
			r.answer(none, err)
		case c.isDeferred(&results[i]):
			left = append(left, r)
		default:
			r.answer(results[i], nil)
		}
	}
	return left
}

func (c *Committer[T, R]) isDeferred(result *R) bool {
	return c.options.Deferred != nil && c.options.Deferred(result)
}

// callCommit holds commit to its word: a missing result would answer a caller with a success that nobody gave. A panic is an error, as it
// is in an RPC's handler: otherwise one item that the code can't deal with ends the process, and does so again after each restart.
func (c *Committer[T, R]) callCommit(items []T) (results []R, err error) {
	defer func() {
		if value := recover(); value != nil {
			results, err = nil, fmt.Errorf("%w with a %T\n%s", ErrPanicked, value, debug.Stack())
		}
	}()
	results, err = c.commit(context.Background(), items)
	switch {
	case err != nil:
		return nil, err
	case len(results) != len(items):
		return nil, fmt.Errorf("groupcommit: commit of %d items gave %d results", len(items), len(results))
	case c.isDeferred(&results[0]):
		return nil, fmt.Errorf("groupcommit: commit of %d items left the first one", len(items))
	}
	return results, nil
}
