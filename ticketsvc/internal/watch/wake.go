package watch

import (
	"context"
	"time"
)

const (
	// maxAwake is how many watchers are awake at the same time. If thousands were woken at once, they would keep all processors from
	// everything else until they are done, and from recording events too.
	maxAwake = 16
	// awakeTime, and messageTime for each message that those may get which are awake, bound how long the tail waits until one of the watchers
	// that are awake is done. maxAwakeTime bounds the sum. Only watchers whose callers read slowly, or not at all, take longer, and the tail
	// no longer waits for these.
	awakeTime    = 2 * time.Millisecond
	messageTime  = 50 * time.Microsecond
	maxAwakeTime = 100 * time.Millisecond
	// maxRoundTime bounds a round: nothing is published during a round, and so no erasure either. The watchers that the round has not come to
	// by then are woken at once.
	maxRoundTime = 2 * time.Second
	// restShare is how much longer than a round the rest after it is, and maxRest bounds the rest. It leaves the processors to recording,
	// and what is recorded meanwhile is published together. The bound keeps the feed from falling behind while a processor is free.
	restShare = 2
	maxRest   = 100 * time.Millisecond
)

// round is what follows a publication: each watcher that waits is woken, and deals with what is new.
type round struct {
	// done receives each time that a watcher which was woken waits again, or leaves.
	done chan struct{}
	// patience is how long to wait for one of those that are awake, and end when nobody is waited for any longer.
	patience time.Duration
	end      time.Time
}

// afterOne waits until one of the watchers that are awake is done. It returns how many are awake then, except those that take too long.
func (r *round) afterOne(ctx context.Context, awake int) int {
	timer := time.NewTimer(min(r.patience, time.Until(r.end)))
	defer timer.Stop()
	select {
	case <-r.done:
		return awake - 1
	case <-timer.C:
	case <-ctx.Done():
	}
	return 0
}

// waitLocked has the next publication wake the watcher. The caller holds the feed's mutex, and has found nothing new in the window.
func (w *Watcher) waitLocked() {
	w.endRounds()
	w.feed.waiting[w] = struct{}{}
}

// leaveLocked has the watcher woken no more. The caller holds the feed's mutex.
func (w *Watcher) leaveLocked() {
	w.left = true
	delete(w.feed.waiting, w)
	w.endRounds()
}

// endRounds notes that the watcher has dealt with what it was woken for, or does not deal with it now. A watcher that stopped waiting for
// another reason may have been woken since.
func (w *Watcher) endRounds() {
	select {
	case r := <-w.woken:
		r.done <- struct{}{}
	default:
	}
	if w.round != nil {
		w.round.done <- struct{}{}
		w.round = nil
	}
}

// wakeWatchers has the watchers that wait deal with so many entries that were published. It wakes at most maxAwake at the same time, and
// returns how long that took.
func (f *Feed) wakeWatchers(ctx context.Context, entries int) time.Duration {
	f.mu.Lock()
	waiting := f.waiting
	f.waiting = map[*Watcher]struct{}{}
	f.mu.Unlock()
	begin := time.Now()
	r := &round{
		done:     make(chan struct{}, len(waiting)),
		patience: min(awakeTime+time.Duration(maxAwake*entries)*messageTime, maxAwakeTime),
		end:      begin.Add(maxRoundTime),
	}
	awake := 0
	for w := range waiting {
		if awake == maxAwake {
			awake = r.afterOne(ctx, awake)
		}
		if f.wakeWatcher(w, r) {
			awake++
		}
	}
	for awake > 0 {
		awake = r.afterOne(ctx, awake)
	}
	return time.Since(begin)
}

// wakeWatcher wakes a watcher. It returns false if the watcher has left, or is woken by an earlier round.
func (f *Feed) wakeWatcher(w *Watcher, r *round) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.left {
		return false
	}
	select {
	case w.woken <- r:
		return true
	default:
		// The watcher was woken before, stopped waiting for another reason, and waits again: it looks at the window when it takes that wake-up.
		return false
	}
}
