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

// memoryBudget bounds the memory of all bodies that are being read or stored. If a body needs more than is left, the slowest sender is cut
// off: the one that has been sending the same segment of its body for the longest time. So a sender that stalls frees memory for one
// that sends.
//
// It is safe for concurrent use.
type memoryBudget struct {
	mu   sync.Mutex
	free int64
	// reading holds the grants of bodies that are being read, in the order in which each began its segment: the slowest sender is the first.
	reading list.List
	// readingBytes is the memory that the grants in reading hold together.
	readingBytes int64
}

func newMemoryBudget(size int64) *memoryBudget { return &memoryBudget{free: size} }

// readDeadliner is the part of [http.ResponseController] that ends a read.
type readDeadliner interface {
	SetReadDeadline(deadline time.Time) error
}

// grant is the share of a memory budget that one body holds. Only the budget calls its sender, and only until [grant.finish].
type grant struct {
	budget *memoryBudget
	sender readDeadliner

	// The budget's mutex guards the fields below.
	held int64
	// element is the grant's element of budget.reading. It is nil before the first segment and after the last.
	element *list.Element
	isCut   bool
}

// open returns the grant of a body that holds nothing yet.
func (b *memoryBudget) open(sender readDeadliner) *grant { return &grant{budget: b, sender: sender} }

// advance begins the next segment of a body, which holds size bytes of memory from now on. It sets the time by which the segment must be
// received. The zero time leaves the deadline unchanged. It returns [errCutOff], or [errNoMemory] if there is too little memory even
// without all other senders. Then it cuts off none of them.
func (g *grant) advance(size int64, deadline time.Time) error {
	b := g.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.isCut {
		return errCutOff
	}
	if size > b.free+b.readingBytes {
		return errNoMemory
	}
	// The body's memory is released first, so that the body itself is not the one that is cut off.
	g.leave()
	g.releaseLocked()
	for b.free < size {
		b.reading.Front().Value.(*grant).cut()
	}
	b.free -= size
	g.held = size
	g.element = b.reading.PushBack(g)
	b.readingBytes += size
	if !deadline.IsZero() {
		// A connection that can't have a deadline is not from a server.
		_ = g.sender.SetReadDeadline(deadline)
	}
	return nil
}

// cut ends the reading of a body. Its memory counts as free at once, because its reader wakes up and releases the memory.
func (g *grant) cut() {
	g.isCut = true
	g.leave()
	g.releaseLocked()
	_ = g.sender.SetReadDeadline(time.Unix(1, 0)) // long ago
}

// finish is called when the body is not read any more. The body still holds its memory. The error is [errCutOff] if the body was cut off
// before.
func (g *grant) finish() error {
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	if g.isCut {
		return errCutOff
	}
	g.leave()
	return nil
}

// leave removes the body from those that are being read, if it is one of them.
func (g *grant) leave() {
	if g.element != nil {
		g.budget.reading.Remove(g.element)
		g.budget.readingBytes -= g.held
		g.element = nil
	}
}

// release releases the memory that the body holds.
func (g *grant) release() {
	g.budget.mu.Lock()
	defer g.budget.mu.Unlock()
	g.releaseLocked()
}

func (g *grant) releaseLocked() {
	g.budget.free += g.held
	g.held = 0
}
