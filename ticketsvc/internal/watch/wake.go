package watch

import (
	"context"
	"time"
)

const (
	// maxAwake is the maximum number of watchers that are awake at the same time. Thousands at once would keep all processors busy, and
	// recording would have to wait for them.
	maxAwake = 16
	// The tail waits for one of the awake watchers for at most awakeTime, plus messageTime for each message that the awake watchers may get,
	// and for at most maxAwakeTime. Only watchers whose callers read slowly take longer, and the tail no longer waits for those.
	awakeTime    = 2 * time.Millisecond
	messageTime  = 50 * time.Microsecond
	maxAwakeTime = 100 * time.Millisecond
	// maxRoundTime bounds a round, because nothing is published during a round, not even an erasure. After it the remaining watchers are woken
	// at once.
	maxRoundTime = 2 * time.Second
	// The tail rests after a round for restShare times the round, and for at most maxRest. The rest leaves the processors to recording; what
	// is recorded meanwhile is published together. The limit keeps the feed from falling behind while a processor is free.
	restShare = 2
	maxRest   = 100 * time.Millisecond
)

// round follows a publication: it wakes each waiting watcher, which then processes what is new.
type round struct {
	// done receives when a watcher that was woken waits again or is closed.
	done chan struct{}
	// maxWait is how long the tail waits for one of the awake watchers. It waits for none after end.
	maxWait time.Duration
	end     time.Time
}

// waitForOne waits until one of the awake watchers is done. It returns the number of those that the tail still waits for.
func (r *round) waitForOne(ctx context.Context, awake int) int {
	timer := time.NewTimer(min(r.maxWait, time.Until(r.end)))
	defer timer.Stop()
	select {
	case <-r.done:
		return awake - 1
	case <-timer.C:
	case <-ctx.Done():
	}
	return 0
}

// waitLocked makes the next publication wake the watcher. The caller holds the feed's mutex, and has found nothing new in the window.
func (w *Watcher) waitLocked() {
	w.endRounds()
	w.feed.waiting[w] = struct{}{}
}

// unregisterLocked makes sure that the watcher is not woken again. The caller holds the feed's mutex.
func (w *Watcher) unregisterLocked() {
	w.closed = true
	delete(w.feed.waiting, w)
	w.endRounds()
}

// endRounds ends the watcher's part in its rounds. Besides the round that woke it, there may be one in woken: a watcher that stopped
// waiting for another reason may have been woken since.
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

// wakeWatchers wakes the waiting watchers after the publication of that many entries, and returns how long that took. At most maxAwake
// watchers are awake at the same time.
func (f *Feed) wakeWatchers(ctx context.Context, entries int) time.Duration {
	f.mu.Lock()
	waiting := f.waiting
	f.waiting = map[*Watcher]struct{}{}
	f.mu.Unlock()
	begin := time.Now()
	r := &round{
		done:    make(chan struct{}, len(waiting)),
		maxWait: min(awakeTime+time.Duration(maxAwake*entries)*messageTime, maxAwakeTime),
		end:     begin.Add(maxRoundTime),
	}
	awake := 0
	for w := range waiting {
		if awake == maxAwake {
			awake = r.waitForOne(ctx, awake)
		}
		if f.wakeWatcher(w, r) {
			awake++
		}
	}
	for awake > 0 {
		awake = r.waitForOne(ctx, awake)
	}
	return time.Since(begin)
}

// wakeWatcher wakes a watcher. It returns false if the watcher is closed, or was woken by an earlier round.
func (f *Feed) wakeWatcher(w *Watcher, r *round) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.closed {
		return false
	}
	select {
	case w.woken <- r:
		return true
	default:
		// The watcher was woken before, stopped waiting for another reason, and waits again: it will take that round and look at the window.
		return false
	}
}
