package feed

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
}

// start makes the window begin, empty, behind a place.
func (w *window) start(base ticket.Mark) {
	w.clear()
	w.base, w.started = base, true
}

// clear drops everything.
func (w *window) clear() {
	*w = window{maxEntries: w.maxEntries, maxBytes: w.maxBytes}
}

// last returns the last place.
func (w *window) last() ticket.Mark {
	if n := len(w.entries); n > 0 {
		return w.entries[n-1].Mark
	}
	return w.base
}

// add adds the entries that follow the last place, and drops the first ones that there is no room for any more.
func (w *window) add(entries []*Entry) {
	for _, e := range entries {
		w.entries = append(w.entries, e)
		w.bytes += e.Bytes
	}
	for len(w.entries) > w.maxEntries || w.bytes > w.maxBytes {
		first := w.entries[0]
		w.base = first.Mark
		w.bytes -= first.Bytes
		w.entries[0] = nil
		w.entries = w.entries[1:]
	}
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
