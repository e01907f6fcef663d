package ticket

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrNotFound is returned if no event of the ticket is recorded.
	ErrNotFound = errors.New("no event of the ticket is recorded")
	// ErrUnavailable is returned if the database can't be used at the moment, or if it is unknown whether a write succeeded. A retry may
	// succeed.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrReadOnly is the [ErrUnavailable] of a database that can be read but not written to.
	ErrReadOnly = fmt.Errorf("%w: it is read-only", ErrUnavailable)
	// ErrCorrupt is returned if the stored data of a ticket can't be read. The text names the ticket.
	ErrCorrupt = errors.New("the stored ticket can't be read")
	// ErrLocked is returned if another writer has held the lock of the ticket for too long. A retry may succeed.
	ErrLocked = errors.New("another writer holds the ticket")
	// ErrNewerVersion is returned if a newer version of the service stored the ticket, with data that this version would lose. The text names
	// the ticket. The same call succeeds on a replica of that version.
	ErrNewerVersion = errors.New("the ticket was written by a newer version")
	// ErrTicketTooLarge is returned if an event would make the ticket too large. The same call succeeds after later events have made the
	// ticket smaller.
	ErrTicketTooLarge = errors.New("the ticket would be too large with the event")
	// ErrTooLargeTogether is returned if tickets are together larger than the caller's limit.
	ErrTooLargeTogether = errors.New("the tickets are together larger than what is read at once")
)

// DecodeError returns the error for a ticket whose stored data can't be decoded because of err: [ErrNewerVersion] if err is one, otherwise
// [ErrCorrupt].
func DecodeError(ticketID string, err error) error {
	if errors.Is(err, ErrNewerVersion) {
		return fmt.Errorf("ticket %q: %w", ticketID, err)
	}
	return fmt.Errorf("%w: ticket %q: %w", ErrCorrupt, ticketID, err)
}

// AppendResult is the result of one change.
type AppendResult struct {
	// Duplicate is set if the event was recorded before. The change has no effect.
	Duplicate bool
	// Erased is set if the ticket was erased before. The change is dropped.
	Erased bool
	// Err is set if this change failed, and is not recorded: [ErrCorrupt], [ErrNewerVersion], [ErrLocked], [ErrTicketTooLarge].
	Err error
	// Deferred is set if the change is left for the next batch, and not recorded, because the tickets of this batch take too much memory. It
	// is never set for the first change of a batch.
	Deferred bool
	// LogEnd is the last position of the log in the transaction that recorded the change, or that found it recorded or its ticket erased. A
	// log that holds LogEnd holds the event, or the erasure. It is zero after an Err, and undefined for a deferred change.
	LogEnd LogPosition
}

// Store holds the event log and the tickets. It is safe for concurrent use.
//
// Every method returns the error of its context if that ends first, and [ErrUnavailable] if the database fails.
type Store interface {
	Log

	// Append adds the events of changes that are not in the log yet to the log, and merges them into their tickets, in one durable
	// transaction. It returns the result of each change, in their order. If an event is there twice, the first change counts, and the
	// second gets the same result. After an error nothing of the batch is recorded, as far as is known.
	Append(ctx context.Context, changes []Change) ([]AppendResult, error)

	// PositionsAt returns the positions with these sequence numbers that the log has, by number. Numbers that are not positive are left out.
	// Errors: [ErrReadOnly] if one is missing and the database can't be written to: it may lag behind.
	PositionsAt(ctx context.Context, sequences []int64) (map[int64]LogPosition, error)

	// Erase removes tickets and the content of their events permanently: later changes of them are dropped. The ids of the events stay, so
	// that the events are still recognised. Each erasure is an entry of the log ([Erased]). Erase returns the number of events whose content
	// was removed. A ticket that was erased before counts 0; an unknown ticket is erased ahead of its events. Tickets are erased in one or
	// several durable transactions, so after an error some of them may be erased.
	Erase(ctx context.Context, ticketIDs ...string) (events int64, err error)

	// ListErasures returns the next erasures after a position, in the order of the log, at most limit, which is at least 1. The position is
	// that of an erasure, or zero. Errors: [ErrPositionNotFound].
	ListErasures(ctx context.Context, after LogPosition, limit int) ([]Erasure, error)

	// ReceiptKey returns the database's key for the receipts of erasures.
	ReceiptKey() ReceiptKey

	// Get returns a ticket, without data that only a newer version of the service knows. Errors: [ErrNotFound], [ErrCorrupt], [ErrNoMemory].
	Get(ctx context.Context, ticketID string, budget MemoryBudget) (Ticket, error)

	// BatchGet returns the known tickets of a list by their ids, all as they were at one moment. It asks budget for all of them, even after an
	// error of budget. Errors: [ErrCorrupt]; [ErrNoMemory]; [ErrTooLargeTogether] if their stored size is above maxBytes.
	BatchGet(ctx context.Context, ticketIDs []string, maxBytes int, budget MemoryBudget) (map[string]Ticket, error)

	// List returns the next matching tickets in an order, after a cursor, or from the beginning if after is nil. more reports whether others
	// follow. Errors: [ErrCorrupt]; [ErrNoMemory] for the first ticket.
	List(ctx context.Context, filter Filter, order Order, after *Cursor, limit PageLimit) (tickets []Ticket, more bool, err error)

	// Stats counts the matching tickets, all at one moment. If [Filter.SelectsGroups], its time grows with the number of groups. Otherwise it
	// grows with the number of tickets that an index selects: by property, by assignee, by words, or by update time. Errors: [ErrCorrupt].
	Stats(ctx context.Context, filter Filter) (Stats, error)

	// ListEvents returns the next events of a ticket after a sequence number, in the order of the log. more reports whether others follow. The
	// events of an erased ticket have their ids, their times if these can be read, and [OutcomeErased]. Errors: [ErrNotFound]; [ErrCorrupt];
	// [ErrNewerVersion]; [ErrNoMemory] for the ticket, which is read too, or for the first event.
	ListEvents(ctx context.Context, ticketID string, after int64, limit PageLimit) (events []Event, more bool, err error)

	// Ping returns nil if the database answers and can be written to. Errors: [ErrReadOnly].
	Ping(ctx context.Context) error

	// Close closes the database. Later calls get [ErrUnavailable].
	Close() error
}
