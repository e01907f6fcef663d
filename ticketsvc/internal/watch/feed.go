// Package watch lets watchers follow the tickets that match their filters: first every ticket as it is, then each change, in the order of
// the log, from any place on and without gaps.
//
// One tail of the log feeds all watchers of a replica. It keeps what it has read last in a [window], which they share; a watcher that is
// further behind reads the log by itself. docs/feed.md tells why it is done so.
package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

var (
	// ErrPlace says that the log has no such place as the watcher wants to go on from, or lacks one behind it. The watcher has to start
	// again, with a walk.
	ErrPlace = errors.New("the log has no such place")
	// ErrAhead is the [ErrPlace] of a place after the end of the log.
	ErrAhead = fmt.Errorf("%w: it ends before", ErrPlace)
	// ErrReplaced says that another log has taken the place of the one that was followed. Going on shows whether that has the same place.
	ErrReplaced = errors.New("the log was replaced by another")
	// ErrFull says that there are as many watchers as there may be.
	ErrFull = errors.New("there are too many watchers")
	// ErrCallerFull says that the caller has as many watchers as one caller may have.
	ErrCallerFull = errors.New("the caller has too many watchers")
	// ErrBusy says that the watcher could not begin, because too many others read the database.
	ErrBusy = errors.New("too many watchers read the database")
	// ErrStopping says that the feed is stopping.
	ErrStopping = errors.New("the feed is stopping")
)

// Limits bound what a feed takes, and say when it does things.
type Limits struct {
	// Watchers is how many there are at the same time at most, and WatchersPerCaller how many of them one caller has.
	Watchers, WatchersPerCaller int
	// WindowEntries and WindowBytes are how many entries of the log are kept for all watchers at most, and how large these are together in
	// memory, with the words of what their tickets were before.
	WindowEntries, WindowBytes int
	// Tail bounds what the tail reads at once, and Page what one watcher does. A watcher that is stuck holds as much as that.
	Tail, Page ticket.PageLimit
	// Reads is how many watchers read the log at the same time, beside the tail, and Walks how many others go on with their walks. One caller
	// has a half of each.
	Reads, Walks int
	// ReadTimeout bounds one reading of the database.
	ReadTimeout time.Duration
	// Heartbeat is the longest time for which a watcher hears nothing.
	Heartbeat time.Duration
	// Poll is how long the tail waits for a hint that the log has grown before it looks by itself, and before it tries again after an error.
	Poll time.Duration
	// Pause is the least time between two publications: all watchers wake at each.
	Pause time.Duration
	// Before bounds the events of which is worked out what a ticket was like before.
	Before ticket.PageLimit
}

// DefaultLimits returns the limits of the service.
func DefaultLimits() Limits {
	return Limits{
		Watchers:          4096,
		WatchersPerCaller: 256,
		WindowEntries:     8192,
		WindowBytes:       32 << 20,
		Tail:              ticket.PageLimit{Items: 1024, Bytes: ticket.MaxPageBytes},
		Page:              ticket.PageLimit{Items: 50, Bytes: 64 << 10},
		Reads:             2, // With the tail, one less than the connections that read the log of an SQLite file: other calls have that.
		Walks:             2,
		ReadTimeout:       10 * time.Second,
		Heartbeat:         15 * time.Second,
		Poll:              time.Second,
		Pause:             10 * time.Millisecond,
		Before:            ticket.PageLimit{Items: 1000, Bytes: 16 << 20}, // Some tenths of a second's work.
	}
}

// Feed feeds watchers. It is safe for concurrent use.
type Feed struct {
	log     ticket.Log
	limits  Limits
	notices Notices

	// woken receives when the log may have grown, or the first watcher has come.
	woken chan struct{}
	// reads has room for as many watchers as may read the log, and walks for as many as may go on with their walks.
	reads, walks *limits.Budget
	cancel       context.CancelFunc
	running      sync.WaitGroup
	// stopping ends when no more is to be fed.
	stopping context.Context
	stop     context.CancelFunc

	mu       sync.Mutex
	watchers int
	// watchersOf is how many watchers each caller has that has any.
	watchersOf map[limits.Caller]int
	window     window
	// waiting are the watchers that the next publication wakes.
	waiting map[*Watcher]struct{}
	// erasures is that of the window.
	erasures atomic.Int64
	// lost is closed while the tail has not been able to read the log for so long that watchers are better off elsewhere.
	lost chan struct{}
	// replaced is closed, and replaced by another, when the log was.
	replaced chan struct{}
}

// Notices are what operators should know of a feed. None is nil, and all return at once.
type Notices struct {
	// Failed is called with errors of the database that keep the feed from reading or from hearing of other replicas, once for each outage;
	// Recovered once the feed reads again.
	Failed    func(error)
	Recovered func()
	// Late is called when the feed has been late for a while, with the number of events that watchers are not told of yet; CaughtUp once it
	// is not late any more.
	Late     func(events int64)
	CaughtUp func()
}

// New returns a feed of log, to be closed.
func New(log ticket.Log, bounds Limits, notices Notices) *Feed {
	ctx, cancel := context.WithCancel(context.Background())
	stopping, stop := context.WithCancel(ctx)
	f := &Feed{
		log:        log,
		limits:     bounds,
		watchersOf: map[limits.Caller]int{},
		waiting:    map[*Watcher]struct{}{},
		notices:    notices,
		woken:      make(chan struct{}, 1),
		// A watcher waits until its heartbeat is due.
		reads:    limits.NewPlaces(bounds.Reads, 2*bounds.Heartbeat),
		walks:    limits.NewPlaces(bounds.Walks, 2*bounds.Heartbeat),
		cancel:   cancel,
		stopping: stopping,
		stop:     stop,
		window:   window{maxEntries: bounds.WindowEntries, maxBytes: bounds.WindowBytes},
		lost:     make(chan struct{}),
		replaced: make(chan struct{}),
	}
	f.running.Go(func() { log.Watch(ctx, f.wake, notices.Failed) })
	f.running.Go(func() { f.tail(ctx) })
	return f
}

// LimitCallers changes [Limits.WatchersPerCaller]. Watchers that are there stay.
func (f *Feed) LimitCallers(watchers int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limits.WatchersPerCaller = watchers
}

// Stop ends all watchers, those that come later too: each gets a heartbeat with the place that it has come to, and then [ErrStopping].
func (f *Feed) Stop() { f.stop() }

// Stopping returns a context that ends when the feed stops.
func (f *Feed) Stopping() context.Context { return f.stopping }

// Close stops the feed, and returns once it does not use the log any more. Its watchers are to be closed before.
func (f *Feed) Close() {
	f.cancel()
	f.running.Wait()
}

func (f *Feed) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// tail reads the log, as long as there are watchers.
func (f *Feed) tail(ctx context.Context) {
	// told says that Failed was called, and Recovered is to be.
	told := false
	// readable is when the log could be read last, while there were watchers.
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
		case err != nil && !told:
			f.notices.Failed(fmt.Errorf("reading the log: %w", err))
			told = true
		case err == nil && told && watched:
			f.notices.Recovered()
			told = false
		}
		if err == nil {
			readable = time.Now()
			late.note(p.behind, &f.notices)
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

// progress is what one reading of the tail has come to.
type progress struct {
	published bool
	// behind is how many entries the log had beyond what was published.
	behind int64
	// rest is how long the feed is to rest.
	rest time.Duration
}

// advance reads what has come to the log after the last position, and publishes it; without that it publishes where the log ends.
func (f *Feed) advance(ctx context.Context, last *ticket.Mark) (progress, error) {
	tail := ctx
	ctx, cancel := context.WithTimeout(ctx, f.limits.ReadTimeout)
	defer cancel()
	if last == nil {
		mark, err := f.log.LastMark(ctx)
		if err != nil {
			return progress{}, err
		}
		f.publish(func(w *window) { w.start(mark) })
		f.wakeWatchers(tail, 0)
		return progress{}, nil
	}
	entries, err := f.readBehind(ctx, *last, f.limits.Tail)
	if errors.Is(err, ErrPlace) {
		// Whoever goes on learns what is wrong with its own place.
		f.forget()
	}
	if err != nil || len(entries) == 0 {
		return progress{}, err
	}
	f.publish(func(w *window) { w.add(entries) })
	took := f.wakeWatchers(tail, len(entries))
	newest := entries[len(entries)-1]
	return progress{published: true, behind: newest.Seen.Sequence - newest.Event.Sequence, rest: min(restShare*took, maxRest)}, nil
}

// lateAfter is for how long the feed is behind the log until that is told.
const lateAfter = 5 * time.Second

// lateness is since when the feed has been behind the log. Zero means that it is not.
type lateness struct {
	since time.Time
	told  bool
}

// note notes how many entries the feed is behind the log.
func (l *lateness) note(behind int64, notices *Notices) {
	switch {
	case behind == 0:
		if l.told {
			notices.CaughtUp()
		}
		*l = lateness{}
	case l.since.IsZero():
		l.since = time.Now()
	case !l.told && time.Since(l.since) >= lateAfter:
		notices.Late(behind)
		l.told = true
	}
}

// lastPublished returns the last place that was published, nil when none was. Without watchers it forgets everything.
func (f *Feed) lastPublished() (last *ticket.Mark, watched bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == 0 {
		f.window.clear()
		return nil, false
	}
	if !f.window.started {
		return nil, true
	}
	mark := f.window.last()
	return &mark, true
}

// publish changes the window.
func (f *Feed) publish(change func(*window)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.window)
	f.erasures.Store(f.window.erasures)
}

// charge counts more bytes for an entry that the window may have.
func (f *Feed) charge(e *Entry, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window.charge(e, bytes)
}

// setLost says whether the log is lost to watchers.
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

// forget ends all watchers, because the log is another one.
func (f *Feed) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window.clear()
	close(f.replaced)
	f.replaced = make(chan struct{})
}

// readBehind reads entries behind a place. The error is [ErrPlace] when it is not one of the log any more, or an entry is missing, which
// then is for ever: places are committed in their order. The place is checked after the entries were read, so that they are not used when
// the log was replaced in between.
func (f *Feed) readBehind(ctx context.Context, place ticket.Mark, limit ticket.PageLimit) ([]*Entry, error) {
	read, err := f.log.ReadLog(ctx, place.Sequence, limit)
	if err != nil {
		return nil, err
	}
	seen, err := f.log.LastMark(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.checkPlace(ctx, place); err != nil {
		return nil, err
	}
	entries := make([]*Entry, len(read))
	for i := range read {
		if want := place.Sequence + int64(i) + 1; read[i].Event.Sequence != want {
			return nil, fmt.Errorf("%w: %d is missing before %d", ErrPlace, want, read[i].Event.Sequence)
		}
		entries[i] = newEntry(read[i], seen)
	}
	return entries, nil
}

// checkPlace returns [ErrPlace] unless the log has that place.
func (f *Feed) checkPlace(ctx context.Context, place ticket.Mark) error {
	mark, err := f.log.MarkAt(ctx, place.Sequence)
	switch {
	case errors.Is(err, ticket.ErrNotFound):
		return fmt.Errorf("%w %d", ErrAhead, place.Sequence)
	case err != nil:
		return err
	case mark != place:
		return fmt.Errorf("%w: another event is at %d", ErrPlace, place.Sequence)
	}
	return nil
}
