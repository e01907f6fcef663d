package ticket

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

// ErrTooManyEvents is returned if a ticket has more or larger events than may be read.
var ErrTooManyEvents = errors.New("the ticket has more events than are read")

// LogPosition is a position of the event log, with a fingerprint of the entry there. The zero position is the beginning, before the first
// entry.
//
// The fingerprint of a position never changes, not even when the ticket is erased. If the fingerprints differ, the log is another one: that
// of a database that was restored from a backup, or of a replica that took over without the last commits. They differ even if the same
// events were recorded again, because each record of an event has its own nonce.
type LogPosition struct {
	// Sequence is the number of the entry, from 1 on. 0 for the beginning.
	Sequence int64
	// Fingerprint is a hash of the ids of the event and of its ticket, the event's name, and its nonce.
	Fingerprint [8]byte
}

// Position returns the position of the event. nonce is a random number that the event got when it was recorded.
func (e *Event) Position(nonce int64) LogPosition {
	var b []byte
	for _, text := range []string{e.EventID, e.TicketID, string(e.Name)} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(nonce))
	p := LogPosition{Sequence: e.Sequence}
	sum := sha256.Sum256(b)
	copy(p.Fingerprint[:], sum[:])
	return p
}

// Entry is an entry of the log, with the ticket as it is when the entry is read: as the event left it, or newer.
type Entry struct {
	// Event is the event, or an erasure ([Erased]), without what only a newer version of the service knows. Its Outcome is 0 if a newer
	// version wrote the ticket.
	Event Event
	// Position is the position of the entry.
	Position LogPosition
	// Ticket is nil if it was erased. Entries of the same ticket may share it, so it must not be modified.
	Ticket *Ticket
	// Weight is the weight of the event and its ticket together.
	Weight Weight
	// Err is set if the event or the ticket can't be read: [ErrCorrupt], [ErrNoRoom]. Then only the position, and the ids and the name of the
	// event are known.
	Err error
}

// SnapshotPage is a part of a snapshot of all tickets.
type SnapshotPage struct {
	// Tickets are the matching tickets of the part, in byte order of their ids. An empty part may be followed by others.
	Tickets []Ticket
	// Last is the id up to which the part goes. The next part begins after it. Empty at the end of the snapshot.
	Last string
}

// NewSnapshotPage returns the part of a snapshot that ends with the page, or at the id bound if all tickets up to bound were read. It
// leaves out tickets that do not match: a database has not a column for everything that a filter looks at.
func NewSnapshotPage(filter Filter, page *PageBuilder, bound string) SnapshotPage {
	tickets := page.Tickets()
	if page.More() {
		bound = tickets[len(tickets)-1].ID
	}
	matcher := filter.Matcher()
	matching := slices.DeleteFunc(tickets, func(t Ticket) bool { return !matcher.Matches(&t, t.Words) })
	return SnapshotPage{Tickets: matching, Last: bound}
}

// PageLimit bounds one read.
type PageLimit struct {
	// Items is the maximum number of items. At least 1.
	Items int
	// Bytes is the maximum stored size of all items together. A single larger item is allowed. In memory the items have at most memoryPerByte
	// times as many bytes.
	Bytes int
	// Room is asked for the memory of each item. A page ends before an item for which there is none. If that is the first item, the read
	// fails.
	Room Room
}

// memoryPerByte bounds the size in memory of the items of a page, relative to their stored size. It is 3 for usual tickets.
const memoryPerByte = 4

// Page is how much of a [PageLimit] is used.
type Page struct {
	limit         PageLimit
	items         int
	bytes, memory int
}

// NewPage returns an empty page.
func NewPage(limit PageLimit) Page { return Page{limit: limit} }

// Add adds the next item, a ticket or an event of it. added is false if the page ends before the item. The error is [ErrNoRoom], for the
// first item only.
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

// DatabaseID identifies a database. It is made with the database, and its backups have the same.
type DatabaseID [16]byte

// Log is the part of a [Store] that is needed to follow the log. What [Store] says about all methods applies to these too.
type Log interface {
	// DatabaseID returns the id of the database.
	DatabaseID() DatabaseID

	// LastPosition returns the last position of the log.
	LastPosition(ctx context.Context) (LogPosition, error)

	// PositionAt returns the position with a sequence number, which is not negative. Errors: [ErrPositionNotFound].
	PositionAt(ctx context.Context, sequence int64) (LogPosition, error)

	// ReadLog returns the next entries after a sequence number, in the order of the log. It returns none at the end of the log. A reader that
	// continues after the last entry sees every event once, without gaps, even while others write. An entry for which the limit's Room returns
	// an error does not end the page; it has that error.
	ReadLog(ctx context.Context, after int64, limit PageLimit) ([]Entry, error)

	// ReadSnapshot returns the next part of a snapshot of all tickets, after an id, in byte order of the ids. It reads a bounded number of
	// tickets, whether or not they match the filter. Errors: [ErrCorrupt].
	ReadSnapshot(ctx context.Context, filter Filter, after string, limit PageLimit) (SnapshotPage, error)

	// TicketBefore returns the ticket as it was before the event with a sequence number, without what only a newer version of the service
	// knows. Errors: [ErrNotFound] if there was no ticket, or it has been erased since; [ErrTooManyEvents] if it had more than limit.Items
	// events, or more than limit.Bytes of them, which is found out without reading them; [ErrCorrupt].
	TicketBefore(ctx context.Context, ticketID string, sequence int64, limit PageLimit) (Ticket, error)

	// Subscribe calls wake when the log may have grown, in this process or in another, until ctx ends. wake must return at once. A call can be
	// missing, or come without a reason. If other processes can't notify this one, onError is called once with the reason.
	Subscribe(ctx context.Context, wake func(), onError func(error))
}
