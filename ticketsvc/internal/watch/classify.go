package watch

import (
	"context"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// nextOfEntries processes entries up to the first one that the watcher gets a message about. ok is false if there is none.
func (w *Watcher) nextOfEntries(ctx context.Context) (message Message, ok bool, err error) {
	for ; len(w.entries) > 0; w.forgetErased() {
		e := w.entries[0]
		kind, err := w.classify(ctx, e)
		if err != nil {
			return Message{}, false, err
		}
		w.entries[0] = nil
		w.entries = w.entries[1:]
		w.at.Position, w.at.Seen = e.Position, later(w.at.Seen, e.Seen)
		if kind != None {
			return Message{Kind: kind, ResumePoint: w.at, Ticket: e.Ticket, Entry: e}, true, nil
		}
	}
	return Message{}, false, nil
}

// classify returns the kind of message that an entry is for the watcher.
//
// An entry is [NoLongerMatches] if the ticket matched before the event and does not match now. Tickets are read as they are now, so an
// entry may be classified by a later version of the ticket. The last event of the ticket is always classified right.
func (w *Watcher) classify(ctx context.Context, e *Entry) (Kind, error) {
	switch {
	case e.Err != nil:
		return 0, e.Err
	case e.Event.Name == ticket.Erased:
		return Erased, nil
	case e.Ticket == nil:
		return None, nil // The erasure comes later.
	case w.matcher.Matches(e.Ticket, e.words):
		return Change, nil
	case !w.concern.Has(e.Event.ChangedFields), e.Ticket.Revision == 1:
		return None, nil
	}
	before, err := w.ticketBefore(ctx, e)
	switch {
	case errors.Is(err, ticket.ErrNotFound):
		return None, nil
	case errors.Is(err, ticket.ErrTooManyEvents):
		return NoLongerMatches, nil
	case err != nil:
		return 0, err
	case w.matcher.Matches(&before.ticket, func() string { return before.words }):
		return NoLongerMatches, nil
	default:
		return None, nil
	}
}

// ticketBefore returns what the ticket of an entry was like before the event. It is found out once for all watchers. Errors:
// [ticket.ErrNotFound] if there was no ticket, [ticket.ErrTooManyEvents] if it takes too long to find out, and those of read.
func (w *Watcher) ticketBefore(ctx context.Context, e *Entry) (*before, error) {
	if known := e.before.Load(); known != nil {
		return known, known.err
	}
	if err := w.interruption(ctx); err != nil {
		return nil, err
	}
	var found *before
	err := w.read(ctx, func(ctx context.Context) error {
		// Another watcher may have found it out while this one waited for its slot.
		if found = e.before.Load(); found != nil {
			return nil
		}
		t, err := w.feed.log.TicketBefore(ctx, e.Event.TicketID, e.Event.Sequence, w.feed.limits.Before)
		if err == nil || errors.Is(err, ticket.ErrNotFound) || errors.Is(err, ticket.ErrTooManyEvents) {
			found, err = newBefore(&t, err), nil
		}
		return err
	})
	if errors.Is(err, errSlow) {
		err = w.read(ctx, func(ctx context.Context) error {
			_, err := w.feed.log.LastPosition(ctx)
			return err
		})
		// The database answers, so only this read is slow. It would be as slow the next time, and no watcher would get past the entry.
		found = newBefore(nil, ticket.ErrTooManyEvents)
	}
	if err != nil {
		return nil, err
	}
	if e.before.CompareAndSwap(nil, found) {
		w.feed.charge(e, len(found.words))
	}
	return found, found.err
}
