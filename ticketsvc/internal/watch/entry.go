package watch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// Entry is an entry of the log, which all watchers share that come to it.
type Entry struct {
	ticket.Entry
	// Seen is the last place of the log when its ticket was read, or found to be erased, or later.
	Seen ticket.Mark

	rendering sync.Once
	rendered  any

	// words returns the ticket's words, which are made once.
	words func() string

	// lookingBack is held by whoever finds out what the ticket was like before the event.
	lookingBack chan struct{}
	before      atomic.Pointer[before]
	// charged is how many bytes before takes. It belongs to the window: nobody else looks at it.
	charged int
}

// before is what a filter looks at of a ticket as it was before an event, or why that is not known.
type before struct {
	ticket ticket.Ticket
	words  string
	err    error
}

func newEntry(e ticket.Entry, seen ticket.Mark) *Entry {
	return &Entry{Entry: e, Seen: seen, lookingBack: make(chan struct{}, 1), words: sync.OnceValue(func() string { return e.Ticket.Words() })}
}

// isErased tells whether the ticket of an entry is erased later.
func (e *Entry) isErased(erased map[string]bool) bool {
	return erased[e.Event.TicketID] && e.Event.Name != ticket.Erased
}

// dropErased replaces the entries of tickets that are erased by what is left of them. The entries themselves are shared, and stay as they
// are. seen is a place of the log behind the erasures.
func dropErased(entries []*Entry, erased map[string]bool, seen ticket.Mark) {
	for i, e := range entries {
		if e.isErased(erased) {
			event := e.Event
			event.Content, event.Outcome = ticket.Content{}, ticket.OutcomeErased
			entries[i] = newEntry(ticket.Entry{Event: event, Mark: e.Mark}, seen)
		}
	}
}

// Rendered returns what render makes of the entry. It is made once, for whoever asks first.
func (e *Entry) Rendered(render func(*Entry) any) any {
	e.rendering.Do(func() { e.rendered = render(e) })
	return e.rendered
}

// ticketBefore returns the ticket as it was before the event. lookBack finds that out, once for all watchers unless it fails. Errors:
// [ticket.ErrNotFound] and [ticket.ErrTooManyEvents], as of [ticket.Log]; [errQuiet] when quiet receives before; ctx's; those of lookBack.
func (e *Entry) ticketBefore(ctx context.Context, quiet <-chan time.Time, lookBack func() (*before, error)) (*before, error) {
	if known := e.before.Load(); known != nil {
		return known, known.err
	}
	select {
	case e.lookingBack <- struct{}{}:
		defer func() { <-e.lookingBack }()
	case <-quiet:
		return nil, errQuiet
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if known := e.before.Load(); known != nil {
		return known, known.err
	}
	found, err := lookBack()
	switch {
	case err == nil:
		e.before.Store(found)
	case errors.Is(err, ticket.ErrNotFound), errors.Is(err, ticket.ErrTooManyEvents):
		e.before.Store(&before{err: err})
	}
	return found, err
}
