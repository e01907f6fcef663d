package webhook

import (
	"container/list"
	"errors"
	"sync"
	"time"
)

var (
	errNoMemory = errors.New("memory for bodies is used up")
	errCutOff   = errors.New("memory for bodies is used up, and this sender was the slowest")
)

// memoryBudget bounds the memory of all bodies that are read or being stored. When a body needs more than is left, the slowest sender is
// cut off: the one that has been sending the same stretch of its body for the longest time. So a sender that stalls makes room for one that
// sends.
//
// It is safe for concurrent use.
type memoryBudget struct {
	mu   sync.Mutex
	free int64
	// arriving holds the grants of bodies that are still read, in the order in which each began its stretch: the slowest sender is the first.
	arriving list.List
	// arrivingBytes is what they hold together.
	arrivingBytes int64
}

func newMemoryBudget(size int64) *memoryBudget { return &memoryBudget{free: size} }

// readDeadliner is the part of [http.ResponseController] that ends a read.
type readDeadliner interface {
	SetReadDeadline(deadline time.Time) error
}

// grant is what one body holds of a memory budget. Only the budget calls its sender, and only until [grant.finish].
type grant struct {
	budget *memoryBudget
	sender readDeadliner

	// The budget's mutex guards what follows.
	held int64
	// place is in budget.arriving. It is nil before the first stretch and after the last.
	place *list.Element
	isCut bool
}

// open returns the grant of a body that holds nothing yet.
func (b *memoryBudget) open(sender readDeadliner) *grant { return &grant{budget: b, sender: sender} }

// advance begins the next stretch of a body, which holds size bytes of memory from now on, and sets the time at which the stretch has to be
// there; the zero time leaves the deadline alone. It returns [errCutOff], or [errNoMemory] when there is too little even without all other
// senders; then it cuts off none of them.
func (g *grant) advance(size int64, deadline time.Time) error {
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.isCut {
		return errCutOff
	}
	if size > b.free+b.arrivingBytes {
		return errNoMemory
	}
	// What it holds is given back first, so that it is not there to be cut off.
	g.leave()
	g.giveBack()
	for b.free < size {
		b.arriving.Front().Value.(*grant).cut()
	}
	b.free -= size
	g.held = size
	g.place = b.arriving.PushBack(g)
	b.arrivingBytes += size
	if !deadline.IsZero() {
		// A connection that can't have a deadline is none of a server's.
		_ = g.sender.SetReadDeadline(deadline)
	}
	return nil
}

// cut ends the reading of a body. Its memory counts as free at once, because its reader wakes up and lets go of it.
func (g *grant) cut() {
	g.isCut = true
	g.leave()
	g.giveBack()
	_ = g.sender.SetReadDeadline(time.Unix(1, 0)) // long ago
}

// finish says that the body is not read any more. It still holds its memory. The error is [errCutOff] when it was cut off before.
func (g *grant) finish() error {
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	if g.isCut {
		return errCutOff
	}
	g.leave()
	return nil
}

// leave takes the body from those that arrive.
func (g *grant) leave() {
	if g.place != nil {
		g.budget.arriving.Remove(g.place)
		g.budget.arrivingBytes -= g.held
		g.place = nil
	}
}

// release gives back what the body holds.
func (g *grant) release() {
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	g.giveBack()
}

func (g *grant) giveBack() {
	g.budget.free += g.held
	g.held = 0
}
