package watch

import (
	"fmt"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// window is the last entries of the log, one for each place, as many as its bounds allow.
type window struct {
	maxEntries, maxBytes int

	started bool
	// base is the place before the first entry.
	base    ticket.Mark
	entries []*Entry
	bytes   int

	// erasures numbers the erasures that were added. A start is one of a ticket that is not known: of what was erased before, nothing is.
	erasures int64
	// erased are the tickets of the last ones, since the window has started and at most maxEntries.
	erased []string
}

// start makes the window begin, empty, behind a place.
func (w *window) start(base ticket.Mark) {
	w.clear()
	w.base, w.started = base, true
	w.erasures++
}

// clear drops everything.
func (w *window) clear() {
	*w = window{maxEntries: w.maxEntries, maxBytes: w.maxBytes, erasures: w.erasures}
}

// last returns the last place.
func (w *window) last() ticket.Mark {
	if n := len(w.entries); n > 0 {
		return w.entries[n-1].Mark
	}
	return w.base
}

// add adds the entries that follow the last place, and drops the first ones that there is no room for any more. Of tickets that they erase
// nothing is kept: what was read of one before must not be told any more.
func (w *window) add(entries []*Entry) {
	erased := map[string]bool{}
	for _, e := range entries {
		if e.Event.Name == ticket.Erased {
			erased[e.Event.TicketID] = true
			w.erasures++
			w.erased = append(w.erased, e.Event.TicketID)
		}
	}
	if len(erased) > 0 {
		for _, e := range w.entries {
			if e.isErased(erased) {
				w.bytes -= e.Weight.Memory() + e.charged - (ticket.Weight{}).Memory()
			}
		}
		dropErased(w.entries, erased, entries[len(entries)-1].Mark)
		w.erased = w.erased[max(0, len(w.erased)-w.maxEntries):]
	}
	for _, e := range entries {
		w.entries = append(w.entries, e)
		w.bytes += e.Weight.Memory()
	}
	w.shrink()
}

// charge counts more bytes for an entry, if the window has it.
func (w *window) charge(e *Entry, bytes int) {
	place := e.Mark.Sequence - w.base.Sequence - 1
	if !w.started || place < 0 || place >= int64(len(w.entries)) || w.entries[place] != e {
		return
	}
	e.charged += bytes
	w.bytes += bytes
	w.shrink()
}

// shrink drops the first entries until the others are within the bounds.
func (w *window) shrink() {
	for len(w.entries) > w.maxEntries || w.bytes > w.maxBytes {
		first := w.entries[0]
		w.base = first.Mark
		w.bytes -= first.Weight.Memory() + first.charged
		w.entries[0] = nil
		w.entries = w.entries[1:]
	}
}

// erasedSince returns the tickets of the erasures behind that number. known is false when these are not known any more.
func (w *window) erasedSince(number int64) (tickets map[string]bool, known bool) {
	first := w.erasures - int64(len(w.erased))
	if number < first {
		return nil, false
	}
	tickets = map[string]bool{}
	for _, id := range w.erased[number-first:] {
		tickets[id] = true
	}
	return tickets, true
}

// behind appends entries that follow a place to list, up to its capacity. atEnd tells that there are none: it is the last place.
// beforeStart tells that the place is before the window. Otherwise, without entries, the tail has yet to come to the place. The error is
// [ErrPlace] when the window has another event there.
func (w *window) behind(place ticket.Mark, list []*Entry) (got []*Entry, atEnd, beforeStart bool, err error) {
	offset := place.Sequence - w.base.Sequence
	switch {
	case !w.started || offset > int64(len(w.entries)):
		return nil, false, false, nil
	case offset < 0:
		return nil, false, true, nil
	}
	known := w.base
	if offset > 0 {
		known = w.entries[offset-1].Mark
	}
	if known != place {
		return nil, false, false, fmt.Errorf("%w: another event is at %d", ErrPlace, place.Sequence)
	}
	next := w.entries[offset:]
	return append(list, next[:min(len(next), cap(list)-len(list))]...), len(next) == 0, false, nil
}
