// Package limits limits what the calls of a service hold together, so that no caller takes all of it.
package limits

import (
	"container/list"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

var (
	// ErrInUse is returned if too little of a budget became free in time, because this caller, or all callers together, hold too much. The
	// same call may succeed later.
	ErrInUse = errors.New("too little of the budget became free in time")
	// ErrNeverFits is returned if a call needs more than one caller may ever hold.
	ErrNeverFits = errors.New("the call needs more than one caller may hold")
)

// Caller identifies the caller of a call. Calls of one caller share the caller's part of each budget. A caller is not secret and can be
// logged.
type Caller string

// Unauthenticated is the caller of every call without a token, if the service has tokens.
const Unauthenticated Caller = "unauthenticated"

// Budget limits what all callers hold together, in bytes. A caller may hold at most as much as stays free for the others (a dynamic
// threshold). So a single caller may hold half of the budget. Two greedy callers may hold a third each, which leaves a third for the next
// caller.
//
// It is safe for concurrent use.
type Budget struct {
	size int64
	wait time.Duration

	mu      sync.Mutex
	free    int64
	holders map[Caller]*holder
	// waiting is the number of grants that wait to grow.
	waiting int
}

// holder is a caller that holds bytes or waits for them.
type holder struct {
	held int64
	// queue has the *waiter values of the caller, oldest first.
	queue list.List
}

// waiter is a grant that waits to grow.
type waiter struct {
	bytes int64
	// ready is closed when the bytes are granted.
	ready chan struct{}
}

// Spread returns a random time between half of longest and longest, so that callers that began to wait together do not retry together.
func Spread(longest time.Duration) time.Duration {
	return longest/2 + rand.N(longest/2+1) //nolint:gosec // It spreads retries, and is no secret.
}

// NewBudget returns a budget of that many bytes. wait is the maximum time that a call waits for its bytes: see [Spread].
func NewBudget(bytes int64, wait time.Duration) *Budget {
	return &Budget{size: bytes, wait: wait, free: bytes, holders: map[Caller]*holder{}}
}

// NewSlots returns a budget of that many slots. Each call takes 1 slot, and one caller gets at most half of the slots, rounded up. wait is
// the maximum time that a call waits for a slot.
func NewSlots(slots int, wait time.Duration) *Budget {
	// By the rule of [Budget], one slot always stays free.
	return NewBudget(int64(slots)+1, wait)
}

// Grant is what one call holds. It must be released. It is for one goroutine at a time.
type Grant struct {
	budget *Budget
	caller Caller
	bytes  int64
}

// Take waits until enough bytes are free, and returns a grant of that many bytes, which may be 0. Errors: those of [Grant.Grow].
func (b *Budget) Take(ctx context.Context, caller Caller, bytes int64) (*Grant, error) {
	g := &Grant{budget: b, caller: caller}
	return g, g.Grow(ctx, bytes)
}

// TryTake returns a grant of that many bytes if they are free at once, and reports whether they were.
func (b *Budget) TryTake(caller Caller, bytes int64) (*Grant, bool) {
	g := &Grant{budget: b, caller: caller}
	return g, g.TryGrow(bytes)
}

// Grow waits until enough bytes are free, and adds them to the grant. Waiting calls of one caller get their bytes in the order in which
// they arrived, but a call whose bytes are free does not wait. After an error the grant holds what it held before. Errors: [ErrInUse];
// [ErrNeverFits]; ctx's.
func (g *Grant) Grow(ctx context.Context, bytes int64) error {
	b := g.budget
	if g.bytes+bytes > b.size/2 {
		return ErrNeverFits
	}
	if bytes == 0 {
		return nil
	}
	b.mu.Lock()
	if b.take(g.caller, bytes) {
		b.mu.Unlock()
		g.bytes += bytes
		return nil
	}
	h := b.holders[g.caller]
	w := &waiter{bytes: bytes, ready: make(chan struct{})}
	element := h.queue.PushBack(w)
	b.waiting++
	b.mu.Unlock()

	timer := time.NewTimer(Spread(b.wait))
	defer timer.Stop()
	var err error
	select {
	case <-w.ready:
	case <-timer.C:
		err = ErrInUse
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && b.abandon(h, element, g.caller) {
		return err
	}
	g.bytes += bytes
	return nil
}

// TryGrow adds bytes to the grant if they are free at once, and reports whether they were.
func (g *Grant) TryGrow(bytes int64) bool {
	if bytes == 0 {
		return true
	}
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.take(g.caller, bytes) {
		b.forget(g.caller)
		return false
	}
	g.bytes += bytes
	return true
}

// Bytes returns the number of bytes that the grant holds.
func (g *Grant) Bytes() int64 { return g.bytes }

// Release releases all that the grant holds. A second call has no effect.
func (g *Grant) Release() {
	if g.bytes == 0 {
		return
	}
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += g.bytes
	b.holders[g.caller].held -= g.bytes
	g.bytes = 0
	b.serve()
	b.forget(g.caller)
}

// take counts bytes for a caller if the rule of [Budget] allows it. Afterwards the caller is in holders.
func (b *Budget) take(caller Caller, bytes int64) bool {
	h := b.holders[caller]
	if h == nil {
		h = &holder{}
		b.holders[caller] = h
	}
	if h.held+bytes > b.free-bytes {
		return false
	}
	h.held += bytes
	b.free -= bytes
	return true
}

// serve grants waiting calls the bytes that are free now. Go iterates over maps in random order, so no caller has precedence.
func (b *Budget) serve() {
	if b.waiting == 0 {
		return
	}
	for caller, h := range b.holders {
		for first := h.queue.Front(); first != nil; first = h.queue.Front() {
			w := first.Value.(*waiter)
			if !b.take(caller, w.bytes) {
				break
			}
			h.queue.Remove(first)
			b.waiting--
			close(w.ready)
		}
	}
}

// abandon removes a waiter from its queue, and reports whether it was still there. If not, it has been granted its bytes.
func (b *Budget) abandon(h *holder, element *list.Element, caller Caller) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-element.Value.(*waiter).ready:
		return false
	default:
	}
	h.queue.Remove(element)
	b.waiting--
	b.serve() // The next waiter of the queue may need less.
	b.forget(caller)
	return true
}

// forget removes a caller that neither holds anything nor waits.
func (b *Budget) forget(caller Caller) {
	if h := b.holders[caller]; h != nil && h.held == 0 && h.queue.Len() == 0 {
		delete(b.holders, caller)
	}
}
