// Package watch is the live feed: it lets watchers follow the tickets that match their filters. A watcher gets a snapshot of all matching
// tickets first, then each change in the order of the event log, without gaps, from any position on.
//
// One tail of the log serves all watchers of a replica. It keeps the last entries in a [window], which the watchers share. A watcher that
// is further behind reads the log itself. docs/feed.md gives the reasons.
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
	// ErrNotInLog is returned if the log does not hold the watcher's position, or an entry after it. The watcher has to start again with a
	// snapshot.
	ErrNotInLog = errors.New("the log does not hold the position")
	// ErrAheadOfLog is the [ErrNotInLog] of a position after the end of the log.
	ErrAheadOfLog = fmt.Errorf("%w: it ends before", ErrNotInLog)
	// ErrLogReplaced is returned if another log was put in place of the one that was followed. A watcher that resumes finds out whether the
	// new log holds its position.
	ErrLogReplaced = errors.New("the log was replaced by another")
	// ErrTooManyWatchers is returned for a watcher beyond [Limits.Watchers].
	ErrTooManyWatchers = errors.New("there are too many watchers")
	// ErrTooManyOfCaller is returned for a watcher beyond [Limits.WatchersPerCaller].
	ErrTooManyOfCaller = errors.New("the caller has too many watchers")
	// ErrTooManyReads is returned if a watcher could not begin, because too many others read the database.
	ErrTooManyReads = errors.New("too many watchers read the database")
	// ErrStopping is returned when the feed stops.
	ErrStopping = errors.New("the feed is stopping")
)

// Limits are the limits and intervals of a feed.
type Limits struct {
	// Watchers is the maximum number of watchers, and WatchersPerCaller that of one caller.
	Watchers, WatchersPerCaller int
	// WindowEntries is the maximum number of entries in the window. WindowBytes is their maximum size in memory, including the words of their
	// tickets' earlier versions.
	WindowEntries, WindowBytes int
	// Tail bounds one read of the tail, and Page one read of a watcher. A stuck watcher holds at most one Page.
	Tail, Page ticket.PageLimit
	// Reads is how many watchers may read the log at the same time, beside the tail. Snapshots is how many others may read their snapshots.
	// One caller may have half of each.
	Reads, Snapshots int
	// ReadTimeout bounds one read of the database.
	ReadTimeout time.Duration
	// Heartbeat is the maximum time between two messages to a watcher.
	Heartbeat time.Duration
	// Poll is how long the tail waits for a notification before it reads the log anyway. It is also the delay after an error.
	Poll time.Duration
	// Pause is the minimum time between two publications: each wakes all watchers.
	Pause time.Duration
	// Before bounds the events from which an earlier version of a ticket is merged.
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
		Reads:             2, // With the tail, one connection less than SQLite has for the log: other calls need that one.
		Snapshots:         2,
		ReadTimeout:       10 * time.Second,
		Heartbeat:         15 * time.Second,
		Poll:              time.Second,
		Pause:             10 * time.Millisecond,
		Before:            ticket.PageLimit{Items: 1000, Bytes: 16 << 20}, // takes some tenths of a second
	}
}

// Feed follows the event log for all watchers of a replica. It is safe for concurrent use.
type Feed struct {
	log     ticket.Log
	limits  Limits
	notices Notices

	// woken receives when the log may have grown, and when the first watcher has come.
	woken chan struct{}
	// reads and snapshots have a slot for each watcher that may read the log, or its snapshot.
	reads, snapshots *limits.Budget
	cancel           context.CancelFunc
	running          sync.WaitGroup
	// stopping ends when the watchers have to end.
	stopping context.Context
	stop     context.CancelFunc

	mu       sync.Mutex
	watchers int
	// watchersOf has the number of watchers of each caller that has any.
	watchersOf map[limits.Caller]int
	window     window
	// waiting are the watchers that the next publication wakes.
	waiting map[*Watcher]struct{}
	// erasures is a copy of window.erasures, to be read without mu.
	erasures atomic.Int64
	// lost is closed while the tail has not been able to read the log for [Limits.Heartbeat]: another replica may be able to.
	lost chan struct{}
	// replaced is closed when the log was replaced. New watchers get a new channel.
	replaced chan struct{}
}

// Notices are called with what operators should know about a feed. None is nil, and each returns at once.
type Notices struct {
	// Failed is called once for each outage of the database, with the error that keeps the feed from reading the log or from being notified
	// by other replicas. Recovered is called when the feed reads the log again.
	Failed    func(error)
	Recovered func()
	// Late is called when the feed has been behind the log for [lateAfter], with the number of events that are not published yet. CaughtUp is
	// called when it is no longer behind.
	Late     func(events int64)
	CaughtUp func()
}

// New returns a feed of log. The caller closes it.
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
		// A watcher waits for a slot until its heartbeat is due, which is earlier.
		reads:     limits.NewSlots(bounds.Reads, 2*bounds.Heartbeat),
		snapshots: limits.NewSlots(bounds.Snapshots, 2*bounds.Heartbeat),
		cancel:    cancel,
		stopping:  stopping,
		stop:      stop,
		window:    window{maxEntries: bounds.WindowEntries, maxBytes: bounds.WindowBytes},
		lost:      make(chan struct{}),
		replaced:  make(chan struct{}),
	}
	f.running.Go(func() { log.Subscribe(ctx, f.wake, notices.Failed) })
	f.running.Go(func() { f.tail(ctx) })
	return f
}

// LimitCallers changes [Limits.WatchersPerCaller] for new watchers.
func (f *Feed) LimitCallers(watchers int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limits.WatchersPerCaller = watchers
}

// Stop ends all watchers, new ones too: each gets a last heartbeat with its resume point, and then [ErrStopping].
func (f *Feed) Stop() { f.stop() }

// Stopping returns a context that ends when the feed stops.
func (f *Feed) Stopping() context.Context { return f.stopping }

// Close stops the feed and waits until it no longer uses the log. The caller closes its watchers before.
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

// readAfter reads the entries after a position. The error is [ErrNotInLog] if the log does not hold the position, or if an entry is
// missing: entries are committed in their order, so it can't come later. The position is checked after the read, in case the log was
// replaced during the read.
func (f *Feed) readAfter(ctx context.Context, after ticket.LogPosition, limit ticket.PageLimit) ([]*Entry, error) {
	read, err := f.log.ReadLog(ctx, after.Sequence, limit)
	if err != nil {
		return nil, err
	}
	seen, err := f.log.LastPosition(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.checkPosition(ctx, after); err != nil {
		return nil, err
	}
	entries := make([]*Entry, len(read))
	for i := range read {
		if want := after.Sequence + int64(i) + 1; read[i].Event.Sequence != want {
			return nil, fmt.Errorf("%w: %d is missing before %d", ErrNotInLog, want, read[i].Event.Sequence)
		}
		entries[i] = newEntry(read[i], seen)
	}
	return entries, nil
}

// checkPosition returns [ErrNotInLog] if the log does not hold a position.
func (f *Feed) checkPosition(ctx context.Context, position ticket.LogPosition) error {
	held, err := f.log.PositionAt(ctx, position.Sequence)
	switch {
	case errors.Is(err, ticket.ErrPositionNotFound):
		return fmt.Errorf("%w %d", ErrAheadOfLog, position.Sequence)
	case err != nil:
		return err
	case held != position:
		return fmt.Errorf("%w: another event is at %d", ErrNotInLog, position.Sequence)
	}
	return nil
}
