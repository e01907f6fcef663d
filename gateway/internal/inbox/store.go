package inbox

import (
	"context"
	"errors"
	"time"
)

// ErrUnavailable is returned if the store can't be used at the moment. A retry may succeed.
var ErrUnavailable = errors.New("inbox is unavailable")

// MaxClaimBytes is about the maximum memory for the bodies of one claim.
const MaxClaimBytes = 16 << 20

// Store keeps deliveries in a database. It is safe for concurrent use.
//
// Every error that may pass with time is an [ErrUnavailable]. If a context ends, the error is the context's.
type Store interface {
	ErasureStore

	// Add stores deliveries by [Decide], and returns the action for each. Each decision takes the deliveries before it into account. All of it
	// is one durable transaction: after an error nothing is stored, except if the answer to the commit was lost.
	Add(ctx context.Context, incoming []Incoming) ([]Action, error)

	// Claim leases up to limit pending deliveries that are due at now and not leased. Deliveries that were never tried come first, so that
	// deliveries that keep failing do not delay new ones. Within each kind the deliveries that are due longest come first. Claim may return
	// fewer than limit if the bodies are large, but at least one if any is due. A delivery that arrives after others with a later due time
	// were claimed may be found a second late. The leases hold until now+lease.
	Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Delivery, error)

	// Finish writes the outcomes of claimed deliveries, in one transaction. It returns the number of outcomes that came too late: their
	// lease was lost, and they changed nothing. now is recorded as the time of the deliveries that were forwarded. Their positions become
	// unchecked positions. After an error the leases are unchanged, so that Finish can be retried.
	Finish(ctx context.Context, now time.Time, outcomes []Outcome) (lost int, err error)

	// NextDue returns the time when the next pending delivery without a lease is due, or when a lease ends. It returns false if no delivery is
	// pending.
	NextDue(ctx context.Context) (time.Time, bool, error)

	// LogPositions returns what is known about ticketsvc's log, with at most limit unchecked positions.
	LogPositions(ctx context.Context, limit int) (LogPositions, error)

	// ChangePositions changes what is known about ticketsvc's log. Ids that no longer exist are ignored.
	ChangePositions(ctx context.Context, change PositionsChange) error

	// ReplayStep makes up to limit deliveries of the replay pending, due at now, and returns the replay's progress. It reads a bounded number
	// of deliveries, the newest first, so a step may find none although the replay continues. A replay that does not run is done.
	ReplayStep(ctx context.Context, now time.Time, limit int) (Replay, error)

	// Subscribe calls wake whenever another process may have added deliveries, until ctx ends. If no other process can, it returns at once. A
	// call of wake is a hint, which may be missed. While hints can't be received, onError is called once with the reason.
	Subscribe(ctx context.Context, wake func(), onError func(error))

	// Ping returns an error if the store can't be used.
	Ping(ctx context.Context) error

	// Close closes the database.
	Close() error
}
