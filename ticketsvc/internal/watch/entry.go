package watch

import (
	"sync"
	"sync/atomic"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// Entry is an entry of the log. All watchers share it.
type Entry struct {
	ticket.Entry
	// Seen is the end of the log when the ticket was read or found to be erased, or a later position.
	Seen ticket.LogPosition

	rendering sync.Once
	rendered  any

	// words returns the ticket's words, which it computes once.
	words func() string

	// before is nil until a watcher has found out what the ticket was like before the event.
	before atomic.Pointer[before]
	// charged is the size of before in bytes. It belongs to the window.
	charged int
}

// before is what filters look at of a ticket as it was before an event, or the reason why that is not known.
type before struct {
	ticket ticket.Ticket
	words  string
	err    error
}

func newBefore(t *ticket.Ticket, err error) *before {
	if err != nil {
		return &before{err: err}
	}
	return &before{ticket: t.Filtered(), words: t.Words()}
}

func newEntry(e ticket.Entry, seen ticket.LogPosition) *Entry {
	return &Entry{Entry: e, Seen: seen, words: sync.OnceValue(func() string { return e.Ticket.Words() })}
}

// isErased reports whether the ticket of an entry is erased later.
func (e *Entry) isErased(erased map[string]bool) bool {
	return erased[e.Event.TicketID] && e.Event.Name != ticket.Erased
}

// dropErased replaces entries of erased tickets by entries without content. It does not modify the entries themselves: they are shared.
// seen is a position after the erasures.
func dropErased(entries []*Entry, erased map[string]bool, seen ticket.LogPosition) {
	for i, e := range entries {
		if e.isErased(erased) {
			event := e.Event
			event.ChangedFields, event.Outcome = ticket.ChangedFields{}, ticket.OutcomeErased
			entries[i] = newEntry(ticket.Entry{Event: event, Position: e.Position}, seen)
		}
	}
}

// Rendered returns the result of render, which is called once for all watchers.
func (e *Entry) Rendered(render func(*Entry) any) any {
	e.rendering.Do(func() { e.rendered = render(e) })
	return e.rendered
}
