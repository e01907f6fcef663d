package watch

import (
	"context"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// deal deals with the next entries, up to one that is to be told.
func (w *Watcher) deal(ctx context.Context) (message Message, said bool, err error) {
	for ; len(w.entries) > 0; w.forgetErased() {
		e := w.entries[0]
		kind, err := w.judge(ctx, e)
		if err != nil {
			return Message{}, false, err
		}
		w.entries[0] = nil
		w.entries = w.entries[1:]
		w.place.Mark, w.place.Seen = e.Mark, later(w.place.Seen, e.Seen)
		if kind != Heartbeat {
			return Message{Kind: kind, Place: w.place, Ticket: e.Ticket, Entry: e}, true, nil
		}
	}
	return Message{}, false, nil
}

// judge says what an entry means to the watcher: [Heartbeat] for nothing.
//
// A ticket is said to leave by an event after which it does not match, and before which it did. Of the last such event that is so for
// certain, since no later one made it match again; by an earlier one the ticket, which is read as it is now, may come and go unseen.
func (w *Watcher) judge(ctx context.Context, e *Entry) (Kind, error) {
	switch {
	case e.Err != nil:
		return 0, e.Err
	case e.Event.Name == ticket.Erased:
		return Erased, nil
	case e.Ticket == nil:
		return Heartbeat, nil // Its erasure comes later.
	case w.matcher.Matches(e.Ticket, e.words):
		return Change, nil
	case !w.concern.Has(e.Event.Content), e.Ticket.Revision == 1:
		return Heartbeat, nil
	}
	before, err := e.ticketBefore(ctx, w.quiet.C, func() (*before, error) { return w.lookBack(ctx, e) })
	switch {
	case errors.Is(err, ticket.ErrNotFound):
		return Heartbeat, nil
	case errors.Is(err, ticket.ErrTooManyEvents):
		return NoLongerMatches, nil
	case err != nil:
		return 0, err
	case w.matcher.Matches(&before.ticket, func() string { return before.words }):
		return NoLongerMatches, nil
	default:
		return Heartbeat, nil
	}
}

// lookBack reads what the ticket of an entry was like before the event.
func (w *Watcher) lookBack(ctx context.Context, e *Entry) (*before, error) {
	// It can take long, for each of many entries.
	if err := w.checkOn(ctx); err != nil {
		return nil, err
	}
	var t ticket.Ticket
	err := w.read(ctx, func(ctx context.Context) (err error) {
		t, err = w.feed.log.TicketBefore(ctx, e.Event.TicketID, e.Event.Sequence, w.feed.limits.Before)
		return err
	})
	switch {
	case err == nil:
		found := &before{ticket: t.Filtered(), words: t.Words()}
		w.feed.charge(e, len(found.words))
		return found, nil
	case !errors.Is(err, errSlow):
		return nil, err
	}
	if err := w.read(ctx, func(ctx context.Context) error {
		_, err := w.feed.log.LastMark(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	// It is not the database that is slow. So it would take as long the next time: the watcher, or the one that goes on in its place, would
	// never come past this entry.
	return nil, ticket.ErrTooManyEvents
}
