package ticket

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

// ErrTooManyEvents says that a ticket has more events than were to be read, or larger ones.
var ErrTooManyEvents = errors.New("the ticket has more events than are read")

// Mark names a place of the log by what stands there. The zero mark is the beginning, before the first event.
//
// What stands at a place never changes, not even when the ticket is erased. So a mark that does not fit is one of another log: of a
// database that was restored from a backup, or of a replica that took over without the last commits. One that fits is not, even where
// the same events came again since: their nonces are others.
type Mark struct {
	// Sequence is the place: 0 for the beginning.
	Sequence int64
	// Fingerprint is of what stands there: the ids of the event and its ticket, the event's name, and its nonce.
	Fingerprint [8]byte
}

// Mark returns the mark of the event's place. nonce is a random number that the event got when it was recorded.
func (e *Event) Mark(nonce int64) Mark {
	var b []byte
	for _, text := range []string{e.EventID, e.TicketID, string(e.Name)} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(nonce))
	m := Mark{Sequence: e.Sequence}
	sum := sha256.Sum256(b)
	copy(m.Fingerprint[:], sum[:])
	return m
}

// Entry is what stands at one place of the log, with the ticket as it is when the entry is read: as the event left it, or newer.
type Entry struct {
	// Event is the event, or an erasure ([Erased]). Without what only a newer version knows; its Outcome is 0 where such a version wrote
	// the ticket.
	Event Event
	// Mark is the mark of its place.
	Mark Mark
	// Ticket is nil when it was erased. Entries of the same ticket may share it: it is not to be changed.
	Ticket *Ticket
	// Weight is that of the event and its ticket together.
	Weight Weight
	// Err is not nil when the event or the ticket can't be read: [ErrCorrupt], [ErrNoRoom]. Nothing is known of the entry then except its
	// mark, and the ids and the name of the event.
	Err error
}

// WalkPage is a part of a walk over all tickets.
type WalkPage struct {
	// Tickets are those of the part that match the filter, in byte order of their ids. There can be none, and others follow all the same.
	Tickets []Ticket
	// Last is the id up to which the part goes: to go on with. Empty when the walk is over.
	Last string
}

// NewWalkPage returns the part of a walk that ends with the page, or at the id bound where all up to that was read. Of the page's tickets
// it leaves out those that do not match after all: a filter may look at more than a database has columns for.
func NewWalkPage(filter Filter, page *PageBuilder, bound string) WalkPage {
	tickets := page.Tickets()
	if page.More() {
		bound = tickets[len(tickets)-1].ID
	}
	matcher := filter.Matcher()
	matching := slices.DeleteFunc(tickets, func(t Ticket) bool { return !matcher.Matches(&t, t.Words) })
	return WalkPage{Tickets: matching, Last: bound}
}

// PageLimit bounds what is read at once.
type PageLimit struct {
	// Items is how many there are at most. At least 1.
	Items int
	// Bytes is how large they are together at most, as they are stored, unless a single one is larger. In memory they are at most
	// memoryPerByte times as large.
	Bytes int
	// Room is asked for memory for each. A page ends before an item for which there is none, unless that is the first one.
	Room Room
}

// memoryPerByte is how much larger in memory than as they are stored the items of a page may be. Usual tickets are three times as large.
const memoryPerByte = 4

// Page is how much of a [PageLimit] is taken.
type Page struct {
	limit         PageLimit
	items         int
	bytes, memory int
}

// NewPage returns an empty page.
func NewPage(limit PageLimit) Page { return Page{limit: limit} }

// Add counts the next item, which is a ticket or an event of it, unless the page ends before the item. The error is [ErrNoRoom], for the
// first item.
func (p *Page) Add(ticketID string, w Weight) (added bool, err error) {
	bytes, memory := p.bytes+w.Bytes, p.memory+w.Memory()
	if p.items == p.limit.Items || p.items > 0 && (bytes > p.limit.Bytes || memory > memoryPerByte*p.limit.Bytes) {
		return false, nil
	}
	if err := p.limit.Room.For(ticketID, w); err != nil {
		if p.items > 0 {
			err = nil
		}
		return false, err
	}
	p.items, p.bytes, p.memory = p.items+1, bytes, memory
	return true, nil
}

// DatabaseID tells one database from all others. It is made with the database, and goes where its backups go.
type DatabaseID [16]byte

// Log is the part of a [Store] that lets the log be followed. What is said of all methods there is true of these.
type Log interface {
	// DatabaseID returns the id of the database.
	DatabaseID() DatabaseID

	// LastMark returns the mark of the log's last place.
	LastMark(ctx context.Context) (Mark, error)

	// MarkAt returns the mark of a place, which is not negative. Errors: [ErrNotFound] when the log has no such place.
	MarkAt(ctx context.Context, sequence int64) (Mark, error)

	// ReadLog returns, in the order of the log, the first entries of the whole log behind the place after. A reader that goes on from the
	// last entry's sequence sees every event once, without gaps, however many write meanwhile. No entries mean that none follow. An entry for
	// which the limit's Room has an error ends no page, and has that error.
	ReadLog(ctx context.Context, after int64, limit PageLimit) ([]Entry, error)

	// WalkTickets returns the next part of a walk over all tickets in byte order of their ids, behind the id after. It looks at a bounded
	// number of tickets, whether or not they match the filter. Errors: [ErrCorrupt].
	WalkTickets(ctx context.Context, filter Filter, after string, limit PageLimit) (WalkPage, error)

	// TicketBefore returns the ticket as it was before the event at a place, without what only a newer version knows of it. Errors:
	// [ErrNotFound] when there was none, or it has been erased since; [ErrTooManyEvents] when it had more events than limit.Items, or these
	// are together larger than limit.Bytes, which is found out without reading what they said; [ErrCorrupt].
	TicketBefore(ctx context.Context, ticketID string, sequence int64, limit PageLimit) (Ticket, error)

	// Watch calls wake whenever the log may have grown, by this process or any other, until ctx ends. wake must return at once, and may be
	// called at any time. It is a hint, which can be missed or come without a reason. While it can't be had of other processes, onError is
	// called once with the reason.
	Watch(ctx context.Context, wake func(), onError func(error))
}
