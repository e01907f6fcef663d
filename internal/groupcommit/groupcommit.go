// Package groupcommit lets many concurrent callers share one transaction.
//
// A durable commit costs about the same for one row as for five hundred, because most of its time is the wait for the disk. So callers hand
// their items to a [Committer]. While one batch is being committed, the next batch gathers. Each caller gets its result after the batch
// with its item is on disk. The queue is bounded: if it is full, callers get an error at once, instead of waiting for a commit that would
// come too late.
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
	// ErrQueueFull is returned if the item was not taken, because the maximum number of items is waiting.
	ErrQueueFull = errors.New("groupcommit: queue is full")
	// ErrClosed is returned if the item was not taken, because the committer is stopping.
	ErrClosed = errors.New("groupcommit: closed")
	// ErrPanicked is returned if the commit panicked. The text has the type of the panic's value and the stack trace. It does not have the
	// value itself, which can hold data of the items.
	ErrPanicked = errors.New("groupcommit: the commit panicked")
)

// Options bounds a [Committer].
type Options[T, R any] struct {
	// MaxBatch is the maximum number of items of one commit. At least 1.
	MaxBatch int
	// MaxBytes is about the maximum size of the items of one commit together, by Size. A single item may be larger. 0 means that there is no
	// limit by size.
	MaxBytes int
	// Size returns the approximate size of an item in bytes.
	Size func(*T) int
	// MaxQueue is the maximum number of items that wait for a commit to begin. At least 1.
	MaxQueue int
	// MayBeItemsFault reports whether an error of a batch can be caused by one of its items. Such a batch is retried item by item, so that
	// only the bad item fails. Nil means that no error is caused by an item.
	MayBeItemsFault func(error) bool
	// Deferred reports whether a result means that the commit left the item for the next batch. The next batch then begins with the item. The
	// first item of a batch is never deferred. Nil means that no item ever is.
	Deferred func(*R) bool
}

// Result is the result of one item.
type Result[R any] struct {
	Value R
	Err   error
}

// Committer gathers items of type T into batches, and returns to each caller the results of its items, of type R.
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

// call is the state that the requests of one caller share.
type call struct {
	// unanswered is the number of requests that are not answered.
	unanswered atomic.Int64
	// done is closed after all requests are answered.
	done chan struct{}
}

// answer gives a request its result.
func (r *request[T, R]) answer(value R, err error) {
	r.result = Result[R]{Value: value, Err: err}
	if r.call.unanswered.Add(-1) == 0 {
		close(r.call.done)
	}
}

// New starts a committer. The caller ends it with [Committer.Close].
//
// commit makes one batch durable. It returns a result for each item, in their order, or an error if, as far as it knows, nothing of the
// batch was committed. It is called from one goroutine, and with a context that no caller can cancel: after a cancelled commit it would be
// unknown whether the items of the other callers are on disk. A commit that panics fails with [ErrPanicked].
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

// Do adds item to a batch and waits until the batch is committed.
//
// It returns [ErrQueueFull] or [ErrClosed] if the item was not taken, the error of the commit if the commit failed, and ctx's cause
// ([context.Cause]) if ctx ended first. If ctx ended first, the item may still be committed. If [Options.MayBeItemsFault] reports that a
// failed batch may be an item's fault, the error is that of the item's own commit.
func (c *Committer[T, R]) Do(ctx context.Context, item T) (result R, err error) {
	requests := [1]request[T, R]{{item: &item}}
	if err := c.do(ctx, requests[:]); err != nil {
		return result, err
	}
	return requests[0].result.Value, requests[0].result.Err
}

// DoAll is like [Committer.Do] for several items. They share batches with the items of other callers. Each item has its own result, in the
// order of the items. The error is ctx's cause. The items must not be modified afterwards.
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

// do returns after all requests are answered, or with ctx's cause.
func (c *Committer[T, R]) do(ctx context.Context, requests []request[T, R]) error {
	if len(requests) == 0 {
		return nil
	}
	call := &call{done: make(chan struct{})}
	call.unanswered.Store(int64(len(requests)))
	c.enqueue(call, requests)
	select {
	case <-call.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close takes no more items and commits the items that were taken. It returns after all are answered, or when ctx ends.
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

// enqueue puts the requests of a call into the queue. It answers the requests that the queue does not take.
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
	// waiting are requests that were taken from the queue and come before it: deferred ones, and one that did not fit into a batch.
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
		waiting = append(c.finish(batch, items), waiting...)
		// Release what the items hold (bodies, contexts): otherwise it would stay in memory until the next batch overwrites it.
		clear(batch)
		clear(items)
	}
}

// next returns the next request: the first of waiting, or else the next of the queue. ok is false if there is none. If wait is set, that is
// only at the end of a closed queue.
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

// finish commits a batch and answers its callers. It returns the requests that the commit deferred.
func (c *Committer[T, R]) finish(batch []*request[T, R], items []T) (deferred []*request[T, R]) {
	results, err := c.callCommit(items)
	if err != nil && len(batch) > 1 && c.options.MayBeItemsFault != nil && c.options.MayBeItemsFault(err) {
		for i := range batch {
			c.finish(batch[i:i+1], items[i:i+1])
		}
		return nil
	}
	for i, r := range batch {
		switch {
		case err != nil:
			var none R
			r.answer(none, err)
		case c.isDeferred(&results[i]):
			deferred = append(deferred, r)
		default:
			r.answer(results[i], nil)
		}
	}
	return deferred
}

func (c *Committer[T, R]) isDeferred(result *R) bool {
	return c.options.Deferred != nil && c.options.Deferred(result)
}

// callCommit calls commit and checks its results: a missing result would report a success to a caller although nothing was committed. A
// panic becomes an error, as in the handler of an RPC. Otherwise one item that the code can't process would end the process, also after
// each restart.
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
		return nil, fmt.Errorf("groupcommit: commit of %d items returned %d results", len(items), len(results))
	case c.isDeferred(&results[0]):
		return nil, fmt.Errorf("groupcommit: commit of %d items deferred the first one", len(items))
	}
	return results, nil
}
