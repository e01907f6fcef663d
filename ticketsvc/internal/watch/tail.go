package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// tail reads the log while there are watchers.
func (f *Feed) tail(ctx context.Context) {
	// failed is set after a call of Failed, until Recovered is called.
	failed := false
	// readable is the time of the last successful read.
	readable := time.Now()
	var late lateness
	for {
		wait, woken := f.limits.Poll, f.woken
		last, watched := f.lastPublished()
		var p progress
		var err error
		if watched {
			p, err = f.advance(ctx, last)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failed:
			f.notices.Failed(fmt.Errorf("reading the log: %w", err))
			failed = true
		case err == nil && failed && watched:
			f.notices.Recovered()
			failed = false
		}
		if err == nil {
			readable = time.Now()
			late.update(p.behind, &f.notices)
		}
		f.setLost(err != nil && time.Since(readable) >= f.limits.Heartbeat)
		if p.published || err != nil {
			woken = nil
		}
		if p.published {
			wait = max(f.limits.Pause, p.rest)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-woken:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// progress is the result of one read of the tail.
type progress struct {
	published bool
	// behind is the number of entries that were in the log and are not published yet.
	behind int64
	// rest is how long the tail waits before the next read.
	rest time.Duration
}

// advance reads the entries after the last published position, and publishes them. If nothing is published yet (last is nil), it publishes
// the end of the log.
func (f *Feed) advance(ctx context.Context, last *ticket.LogPosition) (progress, error) {
	tail := ctx
	ctx, cancel := context.WithTimeout(ctx, f.limits.ReadTimeout)
	defer cancel()
	if last == nil {
		end, err := f.log.LastPosition(ctx)
		if err != nil {
			return progress{}, err
		}
		f.publish(func(w *window) { w.start(end) })
		f.wakeWatchers(tail, 0)
		return progress{}, nil
	}
	entries, err := f.readAfter(ctx, *last, f.limits.Tail)
	if errors.Is(err, ErrNotInLog) {
		// A watcher that resumes finds out whether the log holds its position.
		f.forgetLog()
	}
	if err != nil || len(entries) == 0 {
		return progress{}, err
	}
	f.publish(func(w *window) { w.add(entries) })
	took := f.wakeWatchers(tail, len(entries))
	newest := entries[len(entries)-1]
	return progress{published: true, behind: newest.Seen.Sequence - newest.Event.Sequence, rest: min(restShare*took, maxRest)}, nil
}

// lateAfter is how long the feed is behind the log before it calls [Notices.Late].
const lateAfter = 5 * time.Second

// lateness is since when the feed has been behind the log. Zero if it is not.
type lateness struct {
	since    time.Time
	reported bool
}

// update is called after each read with the number of entries that are not published yet.
func (l *lateness) update(behind int64, notices *Notices) {
	switch {
	case behind == 0:
		if l.reported {
			notices.CaughtUp()
		}
		*l = lateness{}
	case l.since.IsZero():
		l.since = time.Now()
	case !l.reported && time.Since(l.since) >= lateAfter:
		notices.Late(behind)
		l.reported = true
	}
}

// lastPublished returns the last published position, or nil if nothing is published. Without watchers it clears the window.
func (f *Feed) lastPublished() (last *ticket.LogPosition, watched bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == 0 {
		f.window.clear()
		return nil, false
	}
	if !f.window.started {
		return nil, true
	}
	position := f.window.lastPosition()
	return &position, true
}

// publish changes the window.
func (f *Feed) publish(change func(*window)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.window)
	f.erasures.Store(f.window.erasures)
}

// charge adds bytes to the size of an entry, if the window still has the entry.
func (f *Feed) charge(e *Entry, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window.charge(e, bytes)
}

// setLost opens or closes the channel lost.
func (f *Feed) setLost(lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch was := isClosed(f.lost); {
	case lost && !was:
		close(f.lost)
	case was && !lost:
		f.lost = make(chan struct{})
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// forgetLog ends all watchers, because the log is another one.
func (f *Feed) forgetLog() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window.clear()
	close(f.replaced)
	f.replaced = make(chan struct{})
}
