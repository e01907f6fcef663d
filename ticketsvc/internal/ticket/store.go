package ticket

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrNotFound says that no event of the ticket is recorded.
	ErrNotFound = errors.New("no event of the ticket is recorded")
	// ErrUnavailable says that the database can't do its work at the moment, or that it is unknown whether it did. The same call may
	// succeed later.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrReadOnly says that the database can be read, and can't be written to at the moment. It is an [ErrUnavailable].
	ErrReadOnly = fmt.Errorf("%w: it is read-only", ErrUnavailable)
	// ErrCorrupt says that what the database holds of a ticket can't be read. The text names the ticket.
	ErrCorrupt = errors.New("the stored ticket can't be read")
	// ErrHeld says that another writer has held the ticket for too long. The same call may succeed later; those for other tickets do now.
	ErrHeld = errors.New("another writer holds the ticket")
	// ErrNewer says that a newer version of the service wrote what the database holds of a ticket, with something in it that this version
	// does not know, and would lose. The text names the ticket. The same call succeeds where that version runs.
	ErrNewer = errors.New("the ticket was written by a newer version")
	// ErrFull says that the ticket would be larger with an event than a ticket may be. The same call succeeds once later events have made
	// the ticket smaller.
	ErrFull = errors.New("the ticket would be too large with the event")
	// ErrTooLarge says that tickets are together larger than what was to be read.
	ErrTooLarge = errors.New("the tickets are together larger than what is read at once")
)

// Unreadable returns the error of a ticket whose stored form can't be used, for the reason err: it is [ErrNewer] where err is, and else
// [ErrCorrupt].
func Unreadable(ticketID string, err error) error {
	if errors.Is(err, ErrNewer) {
		return fmt.Errorf("ticket %q: %w", ticketID, err)
	}
	return fmt.Errorf("%w: ticket %q: %w", ErrCorrupt, ticketID, err)
}

// Recorded is what became of one change.
type Recorded struct {
	// Duplicate tells that the event was recorded before, so that the change had no effect.
	Duplicate bool
	// Erased tells that the ticket was erased before, so that the change is dropped, and nothing of it kept.
	Erased bool
	// Err is not nil when just this change failed, with nothing of it recorded: [ErrCorrupt], [ErrNewer], [ErrHeld], [ErrFull].
	Err error
	// Deferred tells that the change is left for the next batch, with nothing of it recorded, because the tickets of this one take too much
	// memory together. The first change of a batch never is.
	Deferred bool
	// LogEnd is the mark of the log's last place in the transaction that recorded the change, or that found it recorded or its ticket erased.
	// So a log that holds it holds the event, or the erasure, too. It is the zero mark after an Err, and
	// says nothing of a deferred change.
	LogEnd Mark
}

// Store keeps the log of events and the tickets that they make. It is safe for concurrent use.
//
// Every method returns the error of its context when that ends first, and [ErrUnavailable] when the database is at fault.
type Store interface {
	Log

	// Record adds the events of changes that are not in the log yet to it, and merges them into their tickets, in one durable
	// transaction. It returns what became of each change, in their order. An event that is there twice is recorded once; it is the
	// first one that counts, and where that could not be recorded the others fail as it does. After an error nothing of the batch is
	// recorded, as far as is known.
	Record(ctx context.Context, changes []Change) ([]Recorded, error)

	// MarksAt returns the marks of those places, by place, that the log has. Nothing is said of places that are not positive. A database that
	// can't be written to, and so may lag behind, is [ErrReadOnly] where one is missing.
	MarksAt(ctx context.Context, sequences []int64) (map[int64]Mark, error)

	// Erase removes tickets and what their events said, for ever: later changes of them are dropped. The ids of their events stay, so that
	// they are still known. Each is one durable transaction, or several share one. Each erasure takes a place in the log: [Erased]. It returns
	// how many events lost what they said. A ticket that was erased before is left as it is, with 0; one that is not known is erased ahead of
	// its events. After an error some of several tickets may be erased.
	Erase(ctx context.Context, ticketIDs ...string) (events int64, err error)

	// Erasures returns, in the order of the log, the first erasures after the mark, at most limit, which is at least 1. after is the mark of
	// an erasure, or the zero mark. Errors: [ErrNotFound] when the log does not hold it.
	Erasures(ctx context.Context, after Mark, limit int) ([]Erasure, error)

	// ErasureKey returns the database's secret for its erasures.
	ErasureKey() ErasureKey

	// Get returns a ticket, without what only a newer version knows of it. Errors: [ErrNotFound], [ErrCorrupt], [ErrNoRoom].
	Get(ctx context.Context, ticketID string, room Room) (Ticket, error)

	// BatchGet returns those of the tickets that are known, by their ids, as they were at one moment. After an error of room the others are
	// weighed too, so that room knows of all of them. Errors: [ErrCorrupt], [ErrNoRoom], and [ErrTooLarge] when they are together larger
	// than maxBytes, as they are stored.
	BatchGet(ctx context.Context, ticketIDs []string, maxBytes int, room Room) (map[string]Ticket, error)

	// List returns, in that order, the first tickets that match the filter and come behind after; from the beginning where that is nil. more
	// tells whether others follow. Errors: [ErrCorrupt], and [ErrNoRoom] for the first ticket.
	List(ctx context.Context, filter Filter, order Order, after *Cursor, limit PageLimit) (tickets []Ticket, more bool, err error)

	// Stats counts the tickets that match the filter, as they are at one moment. Where [Filter.SelectsGroups] its time grows with the number
	// of groups, and otherwise with the number of tickets that an index leaves: those of the properties, of the user, of the words, or of
	// the range of update times. Errors: [ErrCorrupt].
	Stats(ctx context.Context, filter Filter) (Stats, error)

	// ListEvents returns, in the order of the log, the first events of a ticket behind the place after. more tells whether others follow.
	// Those of an erased ticket have their ids, their times where these can be read, and [OutcomeErased]. Errors: [ErrNotFound],
	// [ErrCorrupt], [ErrNewer], and [ErrNoRoom] for the ticket, which is read too, or for the first event.
	ListEvents(ctx context.Context, ticketID string, after int64, limit PageLimit) (events []Event, more bool, err error)

	// Ping returns nil when the database answers and can be written to. Errors: [ErrReadOnly].
	Ping(ctx context.Context) error

	// Close lets go of the database. Calls that come later get [ErrUnavailable].
	Close() error
}
