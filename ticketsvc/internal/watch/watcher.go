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

// handful is how many entries of the window a watcher takes at once. One that is stuck holds these, and not the window.
const handful = 64

// Place is where a watcher is: what it has been told, and what it is to be told next.
type Place struct {
	// Mark is the last place of the log that the watcher has dealt with; in the walk, the last one when the walk began.
	Mark ticket.Mark
	// Seen is the last place of the log that can have had a part in what the watcher was told and in what it was not told, since tickets are
	// told and passed over as they are when they are read. It is not before Mark.
	Seen ticket.Mark
	// Walking tells whether the watcher is in the walk over all tickets.
	Walking bool
	// TicketID is, in the walk, that of the last ticket.
	TicketID string
}

// later returns the later one of two marks of the same log.
func later(a, b ticket.Mark) ticket.Mark {
	if a.Sequence > b.Sequence {
		return a
	}
	return b
}

// Kind says what a message is.
type Kind uint8

const (
	// Heartbeat says that nothing else is to be said.
	Heartbeat Kind = iota
	// Change says that a ticket matches the filter, and what it is like.
	Change
	// NoLongerMatches says that a ticket does not match the filter any more.
	NoLongerMatches
	// Erased says that a ticket was erased.
	Erased
)

// Message is what a watcher is told.
type Message struct {
	Kind Kind
	// Place is where to go on after the message.
	Place Place
	// Ticket is, of a change, the ticket. It is shared, and not to be changed.
	Ticket *ticket.Ticket
	// Entry is the entry of the log that the message is about. Nil in the walk, and of a heartbeat.
	Entry *Entry
}

// Watcher is told of the tickets that match a filter. It is for one goroutine at a time.
type Watcher struct {
	feed     *Feed
	caller   limits.Caller
	filter   ticket.Filter
	matcher  ticket.Matcher
	concern  ticket.Concern
	place    Place
	replaced <-chan struct{}

	// tickets and entries are what was read and not dealt with yet.
	tickets []ticket.Ticket
	entries []*Entry
	// erasures is the number of the last erasure that is left out of them.
	erasures int64
	// buffer is what entries of the window are taken into.
	buffer [handful]*Entry
	// walked is how far the walk has been read: up to this ticket, or to its end.
	walked   string
	walkRead bool

	// quiet fires at quietAt, when nothing was said for long.
	quiet   *time.Timer
	quietAt time.Time
	// woken receives the round in which the watcher is woken, of which it keeps the first. round is that round until
	// the watcher has dealt with what is new. left tells whether the watcher was closed.
	woken chan *round
	round *round
	left  bool
	// greeted tells whether it was said that the watcher is in step.
	greeted bool
	// ended tells whether the last heartbeat was sent.
	ended bool
}

var (
	// errQuiet says that a heartbeat is due before what was waited for came.
	errQuiet = errors.New("nothing was said for long")
	// errSlow says that a reading of the database took too long. It comes with [ticket.ErrUnavailable].
	errSlow = errors.New("reading took too long")
)

// Watch returns a watcher, for caller, of the tickets that match filter, which is valid. It begins with a walk over all of them when from
// is nil, and otherwise goes on from there. It is to be closed.
//
// Errors: [ErrPlace], [ErrFull], [ErrCallerFull], [ErrBusy], [ErrStopping], those of [ticket.Log], and ctx's.
func (f *Feed) Watch(ctx context.Context, caller limits.Caller, filter ticket.Filter, from *Place) (*Watcher, error) {
	w := &Watcher{
		feed: f, caller: caller, filter: filter, matcher: filter.Matcher(), concern: filter.Concern(),
		quiet: time.NewTimer(f.limits.Heartbeat), quietAt: time.Now().Add(f.limits.Heartbeat), woken: make(chan *round, 1),
	}
	if err := w.enter(); err != nil {
		w.quiet.Stop()
		return nil, err
	}
	err := w.read(ctx, func(ctx context.Context) (err error) {
		if from != nil {
			w.place = *from
			w.place.Seen = later(from.Seen, from.Mark)
			if err := f.checkPlace(ctx, w.place.Mark); err != nil || w.place.Seen == w.place.Mark {
				return err
			}
			return f.checkPlace(ctx, w.place.Seen)
		}
		w.place.Walking = true
		w.place.Mark, err = f.log.LastMark(ctx)
		w.place.Seen = w.place.Mark
		return err
	})
	if errors.Is(err, errQuiet) {
		err = ErrBusy
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	w.walked = w.place.TicketID
	return w, nil
}

// enter counts the watcher.
func (w *Watcher) enter() error {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.isStopping() {
		return ErrStopping
	}
	switch {
	case f.watchers >= f.limits.Watchers:
		return ErrFull
	case f.watchersOf[w.caller] >= f.limits.WatchersPerCaller:
		return ErrCallerFull
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
	w.quiet.Stop()
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers--
	if f.watchersOf[w.caller]--; f.watchersOf[w.caller] == 0 {
		delete(f.watchersOf, w.caller)
	}
	w.leaveLocked()
}

// Next returns the next message, once there is one.
//
// A heartbeat comes when the walk is over; otherwise when the watcher has, for the first time, been told of everything that there is; and
// whenever nothing was said for a while. Errors, after which Next is not to be called again: [ErrStopping], [ErrReplaced], [ErrPlace],
// [ticket.ErrCorrupt] when the next ticket can't be read, [ticket.ErrUnavailable] when the watcher needs the database and that is away, or
// the log could not be read for [Limits.Heartbeat], and another replica may be able to; and ctx's.
func (w *Watcher) Next(ctx context.Context) (Message, error) {
	message, err := w.next(ctx)
	if errors.Is(err, errQuiet) {
		message, err = w.heartbeat(), nil
	}
	if err == nil {
		w.quiet.Reset(w.feed.limits.Heartbeat)
		w.quietAt = time.Now().Add(w.feed.limits.Heartbeat)
	}
	return message, err
}

func (w *Watcher) next(ctx context.Context) (Message, error) {
	for {
		if err := w.checkOn(ctx); err != nil {
			return Message{}, err
		}
		w.forgetErased()
		var message Message
		var said bool
		var err error
		switch {
		case w.ended:
			return Message{}, ErrStopping
		case w.isStopping():
			w.ended = true
			return w.heartbeat(), nil
		case w.place.Walking:
			message, said, err = w.walk(ctx)
		case len(w.entries) > 0:
			message, said, err = w.deal(ctx)
		default:
			message, said, err = w.fetch(ctx)
		}
		if err != nil && w.isStopping() {
			continue // What is read now is not told any more.
		}
		if err != nil || said {
			return message, err
		}
	}
}

// checkOn returns why the watcher can't go on, or has something else to say first.
func (w *Watcher) checkOn(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.replaced:
		return ErrReplaced
	case <-w.quiet.C:
		return errQuiet
	default:
		return nil
	}
}

func (w *Watcher) isStopping() bool { return w.feed.stopping.Err() != nil }

func (w *Watcher) heartbeat() Message { return Message{Kind: Heartbeat, Place: w.place} }

// forgetErased drops what was read of tickets that were erased since, or all that was read when it is not known which were: the watcher
// may take long over what it has read.
func (w *Watcher) forgetErased() {
	f := w.feed
	if f.erasures.Load() == w.erasures {
		return
	}
	f.mu.Lock()
	erased, known := f.window.erasedSince(w.erasures)
	w.erasures = f.window.erasures
	seen := f.window.last()
	f.mu.Unlock()
	if !known {
		w.tickets, w.entries = nil, nil
		w.walked, w.walkRead = w.place.TicketID, false
		return
	}
	w.tickets = slices.DeleteFunc(w.tickets, func(t ticket.Ticket) bool {
		if erased[t.ID] {
			w.place.Seen = later(w.place.Seen, seen)
		}
		return erased[t.ID]
	})
	dropErased(w.entries, erased, seen)
}

// walk goes on with the walk.
func (w *Watcher) walk(ctx context.Context) (message Message, said bool, err error) {
	switch {
	case len(w.tickets) > 0:
		t := &w.tickets[0]
		w.tickets = w.tickets[1:]
		w.place.TicketID = t.ID
		return Message{Kind: Change, Place: w.place, Ticket: t}, true, nil
	case w.walkRead:
		w.place = Place{Mark: w.place.Mark, Seen: w.place.Seen}
		w.tickets, w.greeted = nil, true
		return w.heartbeat(), true, nil
	}
	place, err := w.take(ctx, w.feed.walks)
	if err != nil {
		return Message{}, false, err
	}
	defer place.Release()
	err = w.readWithin(ctx, func(ctx context.Context) error {
		page, err := w.feed.log.WalkTickets(ctx, w.filter, w.walked, w.feed.limits.Page)
		if err != nil {
			return err
		}
		seen, err := w.feed.log.LastMark(ctx)
		if err != nil {
			return err
		}
		w.place.Seen = later(w.place.Seen, seen)
		w.tickets, w.walked, w.walkRead = page.Tickets, page.Last, page.Last == ""
		if len(w.tickets) == 0 && !w.walkRead {
			w.place.TicketID = w.walked
		}
		return nil
	})
	return Message{}, false, err
}

// fetch gets the next entries, from the window or from the log itself, and waits when there are none.
func (w *Watcher) fetch(ctx context.Context) (message Message, said bool, err error) {
	f := w.feed
	f.mu.Lock()
	lost := f.lost
	entries, atEnd, beforeStart, err := f.window.behind(w.place.Mark, w.buffer[:0])
	switch {
	case err != nil || len(entries) > 0:
	case beforeStart:
		w.endRounds()
	default:
		w.waitLocked()
	}
	f.mu.Unlock()
	switch {
	case err != nil:
		return Message{}, false, err
	case beforeStart:
		err := w.read(ctx, func(ctx context.Context) (err error) {
			w.entries, err = f.readBehind(ctx, w.place.Mark, f.limits.Page)
			return err
		})
		return Message{}, false, err
	case len(entries) > 0:
		w.entries = entries
		return Message{}, false, nil
	case isClosed(lost):
		return Message{}, false, fmt.Errorf("%w: the log can't be read", ticket.ErrUnavailable)
	case atEnd && !w.greeted:
		w.greeted = true
		return w.heartbeat(), true, nil
	}
	select {
	case w.round = <-w.woken:
		return Message{}, false, nil
	case <-lost:
		return Message{}, false, nil
	case <-f.stopping.Done():
		return Message{}, false, nil
	case <-w.replaced:
		return Message{}, false, ErrReplaced
	case <-w.quiet.C:
		return Message{}, false, errQuiet
	case <-ctx.Done():
		return Message{}, false, ctx.Err()
	}
}

// take waits for one of the places at which watchers read the database. The error is [errQuiet] when a heartbeat is due before, and
// [ErrStopping] when the feed stops.
func (w *Watcher) take(ctx context.Context, places *limits.Budget) (*limits.Grant, error) {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.feed.stopping, func() { cancel(ErrStopping) })()
	defer time.AfterFunc(time.Until(w.quietAt), func() { cancel(errQuiet) }).Stop()
	place, err := places.Take(waiting, w.caller, 1)
	switch {
	case err == nil:
		return place, nil
	case errors.Is(err, limits.ErrNoRoom):
		return nil, errQuiet
	default:
		return nil, context.Cause(waiting)
	}
}

// read runs f, which reads the log, once the database has time for one more watcher. Errors: [errQuiet] when a heartbeat is due before, and
// those of readWithin.
func (w *Watcher) read(ctx context.Context, f func(context.Context) error) error {
	place, err := w.take(ctx, w.feed.reads)
	if err != nil {
		return err
	}
	defer place.Release()
	return w.readWithin(ctx, f)
}

// readWithin runs f, which reads the database. The error is [ErrStopping] when the feed stops, and [ticket.ErrUnavailable] when f takes too
// long.
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
		// Not as the error of a context, which would look like the caller's own.
		return fmt.Errorf("%w: %w: longer than %v", ticket.ErrUnavailable, errSlow, w.feed.limits.ReadTimeout)
	}
}
