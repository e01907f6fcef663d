package feed

import (
	"context"
	"slices"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	// groupSize is how many watchers are woken together.
	groupSize = 16
	// turnTime and messageTime bound how long the others wait for a group: so much, and so much for each message that it may get. A
	// message takes a fifth of that, unless its watcher is slow to read.
	turnTime    = 2 * time.Millisecond
	messageTime = 50 * time.Microsecond
	// restShare is how much longer than the turn of a group the rest behind it is, while events wait to be recorded.
	restShare = 3
	// maxRest bounds that.
	maxRest = 100 * time.Millisecond
)

// turn is the time in which a group of watchers deals with what is new. To wake thousands at once would keep all processors from everything
// else until they are done, from recording events too.
type turn struct {
	// busy is how many of them have not dealt with everything yet, and over is closed when none is left.
	busy int
	over chan struct{}
}

// publish adds entries to the window. It returns the watchers that they may mean something to, or that wait for another place. The others
// that wait are moved past the entries: to find out here that there is nothing to tell them costs a fraction of what it costs to wake them.
func (f *Feed) publish(entries []*Entry) (due []*Watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.window.last()
	f.window.add(entries)
	for _, w := range f.watchers {
		switch {
		case !w.waiting:
		case w.place.Mark == before && w.passes(entries):
			w.place.Mark = f.window.last()
		default:
			due = append(due, w)
		}
	}
	return due
}

// begin makes the window begin at a place, and returns the watchers that wait for that.
func (f *Feed) begin(mark ticket.Mark) (due []*Watcher) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window.start(mark)
	return slices.Clone(f.watchers)
}

// wakeAll wakes those of the watchers that wait, for a turn.
func (f *Feed) wakeAll(watchers []*Watcher) *turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &turn{over: make(chan struct{})}
	for _, w := range watchers {
		if w.waiting {
			w.waiting, w.turn = false, t
			t.busy++
			w.woken <- struct{}{}
		}
	}
	if t.busy == 0 {
		close(t.over)
	}
	return t
}

// endTurn says that the watcher has dealt with everything, or does not deal with what is new. The feed is locked.
func (w *Watcher) endTurn() {
	if t := w.turn; t != nil {
		w.turn = nil
		if t.busy--; t.busy == 0 {
			close(t.over)
		}
	}
}

// stopWaiting makes the watcher's place its own again.
func (w *Watcher) stopWaiting() {
	w.feed.mu.Lock()
	w.waiting = false
	w.feed.mu.Unlock()
	select {
	case <-w.woken:
	default:
	}
}

// takeTurns wakes watchers, one group after the other. entries is how many are new to them.
func (f *Feed) takeTurns(ctx context.Context, due []*Watcher, entries int) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for group := range slices.Chunk(due, groupSize) {
		begin := time.Now()
		t := f.wakeAll(group)
		timer.Reset(turnTime + time.Duration(len(group)*entries)*messageTime)
		select {
		case <-t.over:
		case <-timer.C:
			// Who is not done by now reads slowly, or not at all.
		case <-ctx.Done():
			return
		}
		if f.busy() {
			timer.Reset(min(restShare*time.Since(begin), maxRest))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
	}
}
