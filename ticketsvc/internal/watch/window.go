package watch

import (
	"fmt"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// window is the last entries of the log, without gaps, as many as its limits allow.
type window struct {
	maxEntries, maxBytes int

	started bool
	// base is the position before the first entry.
	base    ticket.LogPosition
	entries []*Entry
	bytes   int

	// erasures is the number of erasures so far. A start counts as one, because erasures before it are not known.
	erasures int64
	// erased are the tickets of the last erasures since the start, at most maxEntries.
	erased []string
}

// start makes the window empty, to begin after a position.
func (w *window) start(base ticket.LogPosition) {
	w.clear()
	w.base, w.started = base, true
	w.erasures++
}

// clear removes everything.
func (w *window) clear() {
	*w = window{maxEntries: w.maxEntries, maxBytes: w.maxBytes, erasures: w.erasures}
}

// lastPosition returns the position of the last entry, or base if the window is empty.
func (w *window) lastPosition() ticket.LogPosition {
	if n := len(w.entries); n > 0 {
		return w.entries[n-1].Position
	}
	return w.base
}

// add adds the entries that follow the last position, and removes the oldest ones beyond the limits. It removes the content of entries
// whose ticket an added entry erases.
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
		dropErased(w.entries, erased, entries[len(entries)-1].Position)
		w.erased = w.erased[max(0, len(w.erased)-w.maxEntries):]
	}
	for _, e := range entries {
		w.entries = append(w.entries, e)
		w.bytes += e.Weight.Memory()
	}
	w.shrink()
}

// charge adds bytes to the size of an entry, if the window has the entry.
func (w *window) charge(e *Entry, bytes int) {
	i := e.Position.Sequence - w.base.Sequence - 1
	if !w.started || i < 0 || i >= int64(len(w.entries)) || w.entries[i] != e {
		return
	}
	e.charged += bytes
	w.bytes += bytes
	w.shrink()
}

// shrink removes the oldest entries beyond the limits.
func (w *window) shrink() {
	for len(w.entries) > w.maxEntries || w.bytes > w.maxBytes {
		first := w.entries[0]
		w.base = first.Position
		w.bytes -= first.Weight.Memory() + first.charged
		w.entries[0] = nil
		w.entries = w.entries[1:]
	}
}

// erasedSince returns the tickets of the erasures after a number. known is false if they are no longer known.
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

// relation is where a position is relative to a window.
type relation uint8

const (
	// beforeWindow is a position before the window: the next entry has to be read from the log.
	beforeWindow relation = iota
	// inWindow is a position after which the window has entries.
	inWindow
	// atEnd is the last position of the window.
	atEnd
	// afterWindow is a position that the tail has not reached yet.
	afterWindow
)

// after appends the entries after a position to list, up to its capacity. The error is [ErrNotInLog] if the window has another event there.
func (w *window) after(position ticket.LogPosition, list []*Entry) ([]*Entry, relation, error) {
	offset := position.Sequence - w.base.Sequence
	switch {
	case !w.started || offset > int64(len(w.entries)):
		return nil, afterWindow, nil
	case offset < 0:
		return nil, beforeWindow, nil
	}
	known := w.base
	if offset > 0 {
		known = w.entries[offset-1].Position
	}
	if known != position {
		return nil, inWindow, fmt.Errorf("%w: another event is at %d", ErrNotInLog, position.Sequence)
	}
	next := w.entries[offset:]
	if len(next) == 0 {
		return nil, atEnd, nil
	}
	return append(list, next[:min(len(next), cap(list)-len(list))]...), inWindow, nil
}
