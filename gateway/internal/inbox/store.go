package inbox

import (
	"context"
	"errors"
	"time"
)

// ErrUnavailable says that the store can't do its work at the moment. The same call may succeed later.
var ErrUnavailable = errors.New("inbox is unavailable")

// MaxClaimBytes is about how much memory the bodies of one claim take at most.
const MaxClaimBytes = 16 << 20

// Store keeps deliveries in a database. Its methods can be called at the same time.
//
// Every error that may pass with time is an [ErrUnavailable]; a context that ends gives the context's error.
type Store interface {
	ErasureStore

	// Add keeps arrivals as [Decide] says, each seeing what those before it did, and returns what happened with each. All of it is one
	// durable transaction: with an error nothing is kept, unless the answer to the commit was lost.
	Add(ctx context.Context, arrivals []Arrival) ([]Action, error)

	// Claim leases up to limit pending deliveries that are due at now and leased to nobody: those never tried first, so that what keeps
	// failing holds up nothing new, and of each kind those due longest. It may stop short of limit when the bodies are large, but never
	// at none. One that turns up when others that are due later were claimed already may be found a second late. The leases hold until
	// now+lease.
	Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Delivery, error)

	// Settle writes what became of claimed deliveries, in one transaction, and returns how many settlements came too late: their lease
	// was lost, and they changed nothing. now is the time to note for those that were forwarded, whose positions become unchecked ones.
	// After an error the leases are as they were, so that it can be called again.
	Settle(ctx context.Context, now time.Time, settlements []Settlement) (lost int, err error)

	// NextDue returns when the next pending delivery that is leased to nobody is due, or a lease runs out. It returns false when none
	// is pending.
	NextDue(ctx context.Context) (time.Time, bool, error)

	// LogPositions returns what is known of ticketsvc's log, with at most limit unchecked positions.
	LogPositions(ctx context.Context, limit int) (LogPositions, error)

	// ChangePositions changes what is known of ticketsvc's log. Ids that are gone already are no error.
	ChangePositions(ctx context.Context, change PositionsChange) error

	// ReplayStep makes up to limit deliveries of the replay pending, due at now, and returns how far the replay has come. It looks at a
	// bounded number of deliveries, the newest first, so a step may find none and the replay go on all the same. A replay that does not run is
	// done.
	ReplayStep(ctx context.Context, now time.Time, limit int) (Replay, error)

	// Watch calls wake whenever another process may have added deliveries, until ctx ends; where no other process can it returns at once.
	// It is a hint, which may be missed: while it can't be had, onError is called once with the reason.
	Watch(ctx context.Context, wake func(), onError func(error))

	// Ping returns an error when the store can't be used.
	Ping(ctx context.Context) error

	// Close lets go of the database.
	Close() error
}
