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
	"sync"
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
type Options[T any] struct {
	// MaxBatch is the most items that one commit gets. At least 1.
	MaxBatch int
	// MaxBytes is about how large the items of one commit are together at the most, by Size; a single one may be larger. 0 means that
	// only their number counts.
	MaxBytes int
	// Size returns about how many bytes an item has.
	Size func(*T) int
	// MaxQueue is the most items that wait for a commit to begin. At least 1.
	MaxQueue int
	// MayBeItemsFault tells whether an error of a batch can come from one of its items. Such a batch is committed again item by item, so
	// that a bad item fails alone. Nil means that no error is an item's fault.
	MayBeItemsFault func(error) bool
}

// Committer gathers items of type T into batches, and hands each caller its item's result of type R.
type Committer[T, R any] struct {
	commit  func(context.Context, []T) ([]R, error)
	options Options[T]
	queue   chan *request[T, R]
	stopped chan struct{}

	// closing guards the queue against a send after it was closed: senders hold it for reading.
	closing sync.RWMutex
	closed  bool
}

type request[T, R any] struct {
	item   T
	result R
	err    error
	done   chan struct{}
}

// New starts a committer. End it with [Committer.Close].
//
// commit makes one batch durable: it returns a result for each item, in their order, or an error when nothing of the batch was
// committed as far as it knows. It is called from one goroutine, and with a context that no caller can cancel: a cancelled commit
// would leave it open whether the others' items are on disk. One that panics fails with [ErrPanicked].
func New[T, R any](commit func(context.Context, []T) ([]R, error), options Options[T]) *Committer[T, R] {
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
func (c *Committer[T, R]) Do(ctx context.Context, item T) (R, error) {
	r := &request[T, R]{item: item, done: make(chan struct{})}
	if err := c.enqueue(r); err != nil {
		return r.result, err
	}
	select {
	case <-r.done:
		return r.result, r.err
	case <-ctx.Done():
		var none R
		return none, context.Cause(ctx)
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

func (c *Committer[T, R]) enqueue(r *request[T, R]) error {
	c.closing.RLock()
	defer c.closing.RUnlock()
	if c.closed {
		return ErrClosed
	}
	select {
	case c.queue <- r:
		return nil
	default:
		return ErrQueueFull
	}
}

func (c *Committer[T, R]) loop() {
	defer close(c.stopped)
	maxBatch := max(1, c.options.MaxBatch)
	batch := make([]*request[T, R], 0, maxBatch)
	items := make([]T, 0, maxBatch)
	// next was taken from the queue and did not fit into the batch before.
	var next *request[T, R]
	for {
		first := next
		next = nil
		if first == nil {
			var ok bool
			if first, ok = <-c.queue; !ok {
				return
			}
		}
		batch = append(batch[:0], first)
		bytes := c.size(first)
	gather:
		for len(batch) < maxBatch {
			select {
			case r, ok := <-c.queue:
				if !ok {
					break gather
				}
				if bytes += c.size(r); bytes > c.options.MaxBytes && c.options.MaxBytes > 0 {
					next = r
					break gather
				}
				batch = append(batch, r)
			default:
				break gather
			}
		}
		items = items[:0]
		for _, r := range batch {
			items = append(items, r.item)
		}
		c.settle(batch, items)
		// Let go of what the items hold (bodies, contexts) until the next batch overwrites them.
		clear(batch)
		clear(items)
	}
}

func (c *Committer[T, R]) size(r *request[T, R]) int {
	if c.options.Size == nil {
		return 0
	}
	return c.options.Size(&r.item)
}

// settle commits a batch and answers its callers.
func (c *Committer[T, R]) settle(batch []*request[T, R], items []T) {
	results, err := c.callCommit(items)
	if err != nil && len(batch) > 1 && c.options.MayBeItemsFault != nil && c.options.MayBeItemsFault(err) {
		for i := range batch {
			c.settle(batch[i:i+1], items[i:i+1])
		}
		return
	}
	for i, r := range batch {
		if err != nil {
			r.err = err
		} else {
			r.result = results[i]
		}
		close(r.done)
	}
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
	if err == nil && len(results) != len(items) {
		return nil, fmt.Errorf("groupcommit: commit of %d items gave %d results", len(items), len(results))
	}
	return results, err
}
