package ticket

import (
	"context"
	"errors"
)

// ErrTooManyEvents is returned if a ticket has more or larger events than may be read.
var ErrTooManyEvents = errors.New("the ticket has more events than are read")

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
	// Err is set if the event or the ticket can't be read: [ErrCorrupt], [ErrNoMemory]. Then only the position, and the ids and the name of
	// the event are known.
	Err error
}

// DatabaseID identifies a database. It is made with the database, and its backups have the same.
type DatabaseID [16]byte

// Log is the part of a [Store] that is needed to follow the log. The rules of [Store] for all methods apply to these too.
type Log interface {
	// DatabaseID returns the id of the database.
	DatabaseID() DatabaseID

	// LastPosition returns the last position of the log.
	LastPosition(ctx context.Context) (LogPosition, error)

	// PositionAt returns the position with a sequence number, which is not negative. Errors: [ErrPositionNotFound].
	PositionAt(ctx context.Context, sequence int64) (LogPosition, error)

	// ReadLog returns the next entries after a sequence number, in the order of the log. It returns none at the end of the log. A reader that
	// continues after the last entry sees every event once, without gaps, even while others write. An entry for which the limit's Budget
	// returns an error does not end the page; it has that error.
	ReadLog(ctx context.Context, after int64, limit PageLimit) ([]Entry, error)

	// ReadSnapshot returns the next part of a snapshot of all tickets, after an id, in byte order of the ids. It reads a bounded number of
	// tickets, whether or not they match the filter. Errors: [ErrCorrupt].
	ReadSnapshot(ctx context.Context, filter Filter, after string, limit PageLimit) (SnapshotPage, error)

	// TicketBefore returns the ticket as it was before the event with a sequence number, without what only a newer version of the service
	// knows. Errors: [ErrNotFound] if there was no ticket, or it has been erased since; [ErrTooManyEvents] if it had more than limit.Items
	// events, or more than limit.Bytes of them, which is found out without reading them; [ErrCorrupt].
	TicketBefore(ctx context.Context, ticketID string, sequence int64, limit PageLimit) (Ticket, error)

	// Subscribe blocks until ctx ends. Until then it calls wake when the log may have grown, in this process or in another. wake must return
	// at once. A call can be missing, or come without a reason. If other processes can't notify this one, onError is called once with the
	// reason.
	Subscribe(ctx context.Context, wake func(), onError func(error))
}
