// Package limits bounds what the calls of a service hold together, so that no caller takes all of it.
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
	// ErrNoRoom is returned if no room was free in time: this caller, or all together, hold too much. The same call may succeed later.
	ErrNoRoom = errors.New("no room was free in time")
	// ErrNeverFits is returned if a call needs more than one caller may ever hold.
	ErrNeverFits = errors.New("the call needs more room than one caller may have")
)

// Caller identifies who makes a call. Calls of one caller share what the caller may hold. A caller is not secret and can be logged.
type Caller string

// Unauthenticated is the caller of every call without a token, if the service has tokens.
const Unauthenticated Caller = "unauthenticated"

// Budget bounds what all callers hold together, in bytes. A caller may hold at most as much as stays free for the others (a dynamic
// threshold): alone it may hold a half of the budget, and of two greedy callers each a third, so that a third is left for the next.
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
	// ready is closed once the bytes are granted.
	ready chan struct{}
}

// Spread returns a random time between half of longest and longest, so that callers that began to wait together do not retry together.
func Spread(longest time.Duration) time.Duration { return longest/2 + rand.N(longest/2+1) }

// NewBudget returns a budget of that many bytes. wait is how long a call waits for room at most: see [Spread].
func NewBudget(bytes int64, wait time.Duration) *Budget {
	return &Budget{size: bytes, wait: wait, free: bytes, holders: map[Caller]*holder{}}
}

// NewPlaces returns a budget of that many places, of which each call takes 1, and one caller at most a half, rounded up. wait is how
// long a call waits for one.
func NewPlaces(places int, wait time.Duration) *Budget {
	// The rule leaves one that nobody gets.
	return NewBudget(int64(places)+1, wait)
}

// Grant is what one call holds. It is to be released. It is for one goroutine at a time.
type Grant struct {
	budget *Budget
	caller Caller
	bytes  int64
}

// Take returns a grant of that many bytes, which may be 0, once there is room. Errors: those of [Grant.Grow].
func (b *Budget) Take(ctx context.Context, caller Caller, bytes int64) (*Grant, error) {
	g := &Grant{budget: b, caller: caller}
	return g, g.Grow(ctx, bytes)
}

// TryTake returns a grant of that many bytes if there is room at once, and reports whether there was.
func (b *Budget) TryTake(caller Caller, bytes int64) (*Grant, bool) {
	g := &Grant{budget: b, caller: caller}
	return g, g.TryGrow(bytes)
}

// Free returns how many bytes nobody holds.
func (b *Budget) Free() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free
}

// Grow adds to the grant, once there is room. Calls of one caller that wait get room in the order in which they came; a call for which
// there is room does not wait. Errors, after which the grant holds what it held: [ErrNoRoom]; [ErrNeverFits]; ctx's.
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
	place := h.queue.PushBack(w)
	b.waiting++
	b.mu.Unlock()

	timer := time.NewTimer(Spread(b.wait))
	defer timer.Stop()
	var err error
	select {
	case <-w.ready:
	case <-timer.C:
		err = ErrNoRoom
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && b.abandon(h, place, g.caller) {
		return err
	}
	g.bytes += bytes
	return nil
}

// TryGrow adds to the grant if there is room at once, and reports whether there was.
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

// Bytes returns how much the grant holds.
func (g *Grant) Bytes() int64 { return g.bytes }

// Release gives back all that the grant holds. A second call gives back nothing.
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

// take counts bytes for a caller if the rule has room for them. Afterwards the caller is in holders.
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

// serve grants what there is now room for. Go's order of maps gives no caller precedence.
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

// abandon takes a waiter out of its queue, and reports whether it was still there: otherwise it has its bytes.
func (b *Budget) abandon(h *holder, place *list.Element, caller Caller) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-place.Value.(*waiter).ready:
		return false
	default:
	}
	h.queue.Remove(place)
	b.waiting--
	b.serve() // The next one of the queue may need less.
	b.forget(caller)
	return true
}

// forget drops a caller that neither holds anything nor waits.
func (b *Budget) forget(caller Caller) {
	if h := b.holders[caller]; h != nil && h.held == 0 && h.queue.Len() == 0 {
		delete(b.holders, caller)
	}
}
