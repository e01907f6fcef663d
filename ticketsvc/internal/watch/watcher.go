package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// maxTake is the maximum number of entries that a watcher takes from the window at once. A stuck watcher holds these, and not the window.
const maxTake = 64

// ResumePoint is how far a watcher has come. A later watcher can resume from there.
type ResumePoint struct {
	// Position is the position of the last entry that the watcher has processed. In the snapshot it is the end of the log when the snapshot
	// began.
	Position ticket.LogPosition
	// Seen is the last position of the log that can have affected what the watcher was told: tickets are read as they are, not as they were at
	// Position. It is not before Position. A log that does not hold Seen has lost something that the watcher was told.
	Seen ticket.LogPosition
	// Snapshot reports whether the snapshot is in progress.
	Snapshot bool
	// TicketID is the id of the last ticket in the snapshot. Empty after the snapshot.
	TicketID string
}

// later returns the later of two positions of the same log.
func later(a, b ticket.LogPosition) ticket.LogPosition {
	if a.Sequence > b.Sequence {
		return a
	}
	return b
}

// Kind is the kind of a message.
type Kind uint8

const (
	// None is the kind of an entry that a watcher is not told of. No message has it.
	None Kind = iota
	// Heartbeat is a sign of life.
	Heartbeat
	// Change is a ticket that matches the filter.
	Change
	// NoLongerMatches is a ticket that matched the filter before.
	NoLongerMatches
	// Erased is an erased ticket.
	Erased
)

// Message is a message to a watcher.
type Message struct {
	Kind Kind
	// ResumePoint is where a watcher resumes after the message.
	ResumePoint ResumePoint
	// Ticket is the ticket of a change. It is shared and must not be modified.
	Ticket *ticket.Ticket
	// Entry is the log entry that the message is about. Nil in the snapshot and for a heartbeat.
	Entry *Entry
}

// Watcher follows the tickets that match a filter. It is for one goroutine at a time.
type Watcher struct {
	feed     *Feed
	caller   limits.Caller
	filter   ticket.Filter
	matcher  ticket.Matcher
	concern  ticket.Concern
	at       ResumePoint
	replaced <-chan struct{}

	// tickets and entries were read and are not processed yet.
	tickets []ticket.Ticket
	entries []*Entry
	// erasures is the number of the last erasure that tickets and entries take into account.
	erasures int64
	// buffer is the memory of entries that are taken from the window.
	buffer [maxTake]*Entry
	// snapshotUpTo is the id up to which the snapshot was read. snapshotRead is set if all of it was read.
	snapshotUpTo string
	snapshotRead bool

	// heartbeat fires at heartbeatAt, when a heartbeat is due.
	heartbeat   *time.Timer
	heartbeatAt time.Time
	// woken receives the round that wakes the watcher. round is that round until the watcher has processed what is new. closed is set when the
	// watcher was closed.
	woken  chan *round
	round  *round
	closed bool
	// caughtUpSent is set after the heartbeat that reports that the watcher has caught up.
	caughtUpSent bool
	// ended is set after the last heartbeat.
	ended bool
}

var (
	// errHeartbeatDue interrupts a wait because a heartbeat is due.
	errHeartbeatDue = errors.New("a heartbeat is due")
	// errSlow is the reason of a [ticket.ErrUnavailable]: a read of the database took too long.
	errSlow = errors.New("reading took too long")
)

// Watch returns a watcher of the tickets that match filter, which is valid. It resumes at from, or begins with a snapshot if from is nil.
// The caller of Watch closes the watcher.
//
// Errors: [ErrNotInLog], [ErrTooManyWatchers], [ErrTooManyOfCaller], [ErrTooManyReads], [ErrStopping], those of [ticket.Log], and ctx's.
func (f *Feed) Watch(ctx context.Context, caller limits.Caller, filter ticket.Filter, from *ResumePoint) (*Watcher, error) {
	w := &Watcher{
		feed: f, caller: caller, filter: filter, matcher: filter.Matcher(), concern: filter.Concern(),
		heartbeat: time.NewTimer(f.limits.Heartbeat), heartbeatAt: time.Now().Add(f.limits.Heartbeat), woken: make(chan *round, 1),
	}
	if err := w.register(); err != nil {
		w.heartbeat.Stop()
		return nil, err
	}
	err := w.read(ctx, func(ctx context.Context) (err error) {
		if from != nil {
			w.at = *from
			w.at.Seen = later(from.Seen, from.Position)
			if err := f.checkPosition(ctx, w.at.Position); err != nil || w.at.Seen == w.at.Position {
				return err
			}
			return f.checkPosition(ctx, w.at.Seen)
		}
		w.at.Snapshot = true
		w.at.Position, err = f.log.LastPosition(ctx)
		w.at.Seen = w.at.Position
		return err
	})
	if errors.Is(err, errHeartbeatDue) {
		err = ErrTooManyReads
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	w.snapshotUpTo = w.at.TicketID
	return w, nil
}

// register counts the watcher.
func (w *Watcher) register() error {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.isStopping() {
		return ErrStopping
	}
	switch {
	case f.watchers >= f.limits.Watchers:
		return ErrTooManyWatchers
	case f.watchersOf[w.caller] >= f.limits.WatchersPerCaller:
		return ErrTooManyOfCaller
	}
	f.watchers++
	f.watchersOf[w.caller]++
	w.replaced = f.replaced
	if f.watchers == 1 {
		f.wake()
	}
	return nil
}

// Close ends the watcher.
func (w *Watcher) Close() {
	w.heartbeat.Stop()
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers--
	if f.watchersOf[w.caller]--; f.watchersOf[w.caller] == 0 {
		delete(f.watchersOf, w.caller)
	}
	w.unregisterLocked()
}

// Next waits for the next message and returns it.
//
// A heartbeat comes at the end of the snapshot, when a resumed watcher has caught up, and after [Limits.Heartbeat] without a message.
//
// Errors, after which Next must not be called again: [ErrStopping]; [ErrLogReplaced]; [ErrNotInLog]; [ticket.ErrCorrupt] if the next ticket
// can't be read; [ticket.ErrUnavailable] if the watcher needs the database and can't reach it, or if the tail could not read the log for
// [Limits.Heartbeat] (another replica may be able to); and ctx's.
func (w *Watcher) Next(ctx context.Context) (Message, error) {
	message, err := w.next(ctx)
	if errors.Is(err, errHeartbeatDue) {
		message, err = w.heartbeatMessage(), nil
	}
	if err == nil {
		w.heartbeat.Reset(w.feed.limits.Heartbeat)
		w.heartbeatAt = time.Now().Add(w.feed.limits.Heartbeat)
	}
	return message, err
}

func (w *Watcher) next(ctx context.Context) (Message, error) {
	for {
		if err := w.interruption(ctx); err != nil {
			return Message{}, err
		}
		w.forgetErased()
		var message Message
		var ok bool
		var err error
		switch {
		case w.ended:
			return Message{}, ErrStopping
		case w.isStopping():
			w.ended = true
			return w.heartbeatMessage(), nil
		case w.at.Snapshot:
			message, ok, err = w.nextOfSnapshot(ctx)
		case len(w.entries) > 0:
			message, ok, err = w.nextOfEntries(ctx)
		default:
			message, ok, err = w.fetch(ctx)
		}
		if err != nil && w.isStopping() {
			continue // with the last heartbeat
		}
		if err != nil || ok {
			return message, err
		}
	}
}

// interruption returns why the watcher has to stop or to send a heartbeat now, or nil.
func (w *Watcher) interruption(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.replaced:
		return ErrLogReplaced
	case <-w.heartbeat.C:
		return errHeartbeatDue
	default:
		return nil
	}
}

func (w *Watcher) isStopping() bool { return w.feed.stopping.Err() != nil }

func (w *Watcher) heartbeatMessage() Message { return Message{Kind: Heartbeat, ResumePoint: w.at} }

// forgetErased drops what was read of tickets that were erased since: a watcher may process what it has read much later. If it is not known
// which tickets were erased, forgetErased drops everything.
func (w *Watcher) forgetErased() {
	f := w.feed
	if f.erasures.Load() == w.erasures {
		return
	}
	f.mu.Lock()
	erased, known := f.window.erasedSince(w.erasures)
	w.erasures = f.window.erasures
	seen := f.window.lastPosition()
	f.mu.Unlock()
	if !known {
		w.tickets, w.entries = nil, nil
		w.snapshotUpTo, w.snapshotRead = w.at.TicketID, false
		return
	}
	w.tickets = slices.DeleteFunc(w.tickets, func(t ticket.Ticket) bool {
		if erased[t.ID] {
			w.at.Seen = later(w.at.Seen, seen)
		}
		return erased[t.ID]
	})
	dropErased(w.entries, erased, seen)
}

// nextOfSnapshot returns the next ticket of the snapshot. If none is read yet, it reads some instead, and ok is false.
func (w *Watcher) nextOfSnapshot(ctx context.Context) (message Message, ok bool, err error) {
	switch {
	case len(w.tickets) > 0:
		t := &w.tickets[0]
		w.tickets = w.tickets[1:]
		w.at.TicketID = t.ID
		return Message{Kind: Change, ResumePoint: w.at, Ticket: t}, true, nil
	case w.snapshotRead:
		w.at = ResumePoint{Position: w.at.Position, Seen: w.at.Seen}
		w.tickets, w.caughtUpSent = nil, true
		return w.heartbeatMessage(), true, nil
	}
	slot, err := w.takeSlot(ctx, w.feed.snapshots)
	if err != nil {
		return Message{}, false, err
	}
	defer slot.Release()
	err = w.readWithin(ctx, func(ctx context.Context) error {
		page, err := w.feed.log.ReadSnapshot(ctx, w.filter, w.snapshotUpTo, w.feed.limits.Page)
		if err != nil {
			return err
		}
		seen, err := w.feed.log.LastPosition(ctx)
		if err != nil {
			return err
		}
		w.at.Seen = later(w.at.Seen, seen)
		w.tickets, w.snapshotUpTo, w.snapshotRead = page.Tickets, page.Last, page.Last == ""
		if len(w.tickets) == 0 && !w.snapshotRead {
			w.at.TicketID = w.snapshotUpTo
		}
		return nil
	})
	return Message{}, false, err
}

// fetch takes the next entries from the window, or reads them from the log. If there are none, fetch waits. ok is true for a heartbeat.
func (w *Watcher) fetch(ctx context.Context) (message Message, ok bool, err error) {
	f := w.feed
	f.mu.Lock()
	lost := f.lost
	entries, position, err := f.window.after(w.at.Position, w.buffer[:0])
	switch position {
	case inWindow:
	case beforeWindow:
		w.endRounds()
	case atEnd, afterWindow:
		w.waitLocked()
	}
	f.mu.Unlock()
	switch {
	case err != nil:
		return Message{}, false, err
	case position == beforeWindow:
		err := w.read(ctx, func(ctx context.Context) (err error) {
			w.entries, err = f.readAfter(ctx, w.at.Position, f.limits.Page)
			return err
		})
		return Message{}, false, err
	case position == inWindow:
		w.entries = entries
		return Message{}, false, nil
	case isClosed(lost):
		return Message{}, false, fmt.Errorf("%w: the log can't be read", ticket.ErrUnavailable)
	case position == atEnd && !w.caughtUpSent:
		w.caughtUpSent = true
		return w.heartbeatMessage(), true, nil
	}
	select {
	case w.round = <-w.woken:
		return Message{}, false, nil
	case <-lost:
		return Message{}, false, nil
	case <-f.stopping.Done():
		return Message{}, false, nil
	case <-w.replaced:
		return Message{}, false, ErrLogReplaced
	case <-w.heartbeat.C:
		return Message{}, false, errHeartbeatDue
	case <-ctx.Done():
		return Message{}, false, ctx.Err()
	}
}

// takeSlot waits for a slot in which the watcher may read the database. The error is [errHeartbeatDue] if a heartbeat is due before, and
// [ErrStopping] if the feed stops.
func (w *Watcher) takeSlot(ctx context.Context, slots *limits.Budget) (*limits.Grant, error) {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.feed.stopping, func() { cancel(ErrStopping) })()
	defer time.AfterFunc(time.Until(w.heartbeatAt), func() { cancel(errHeartbeatDue) }).Stop()
	slot, err := slots.Take(waiting, w.caller, 1)
	switch {
	case err == nil:
		return slot, nil
	case errors.Is(err, limits.ErrInUse):
		return nil, errHeartbeatDue
	default:
		return nil, context.Cause(waiting)
	}
}

// read waits for a slot and runs f, which reads the log. Errors: those of takeSlot and readWithin.
func (w *Watcher) read(ctx context.Context, f func(context.Context) error) error {
	slot, err := w.takeSlot(ctx, w.feed.reads)
	if err != nil {
		return err
	}
	defer slot.Release()
	return w.readWithin(ctx, f)
}

// readWithin runs f, which reads the database. The error is [ErrStopping] if the feed stops, and [ticket.ErrUnavailable] if f takes longer
// than [Limits.ReadTimeout].
func (w *Watcher) readWithin(ctx context.Context, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, w.feed.limits.ReadTimeout)
	defer cancel()
	defer context.AfterFunc(w.feed.stopping, cancel)()
	err := f(bounded)
	switch {
	case err == nil || bounded.Err() == nil || ctx.Err() != nil:
		return err
	case w.isStopping():
		return ErrStopping
	default:
		// The error of the context would look like the caller's own deadline.
		return fmt.Errorf("%w: %w: longer than %v", ticket.ErrUnavailable, errSlow, w.feed.limits.ReadTimeout)
	}
}
