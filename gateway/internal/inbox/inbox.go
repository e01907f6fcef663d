package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/groupcommit"
)

// ErrBusy says that the inbox has as many deliveries waiting to be kept as it takes, or is stopping. Try again later.
var ErrBusy = errors.New("inbox is busy")

const (
	// maxBatch is how many arrivals share a commit at most. With more, all that come would wait for one commit together, and then be
	// read together, so that the disk and the webhook server take turns. docs/performance.md has the figures.
	maxBatch = 128
	// maxBatchBytes is about how large the bodies of one commit are together at most.
	maxBatchBytes = 8 << 20
	// maxQueue is how many arrivals wait for a commit at most.
	maxQueue = 4096
)

// Inbox is the front of a store: it lets concurrent arrivals share a commit, and tells the forwarder that there is work.
type Inbox struct {
	store     Store
	committer *groupcommit.Committer[Arrival, Action]
	wake      chan struct{}
}

// New returns an inbox in front of store. End it with [Inbox.Stop], then close the store.
func New(store Store) *Inbox {
	i := &Inbox{store: store, wake: make(chan struct{}, 1)}
	i.committer = groupcommit.New(i.add, groupcommit.Options[Arrival, Action]{
		MaxBatch: maxBatch,
		MaxBytes: maxBatchBytes,
		Size:     func(a *Arrival) int { return len(a.Body) },
		MaxQueue: maxQueue,
		// Whatever is not the database's state may be one arrival's fault, and must not take the others with it.
		MayBeItemsFault: func(err error) bool { return !errors.Is(err, ErrUnavailable) },
	})
	return i
}

// Accept keeps an arrival, and returns once it is durable.
//
// It returns [ErrBusy] when the arrival was not taken, [ErrUnavailable] when the store can't keep it now, and ctx's error when ctx
// ended first; in that last case the arrival may be kept all the same. The arrival's body must not be changed before Accept returns
// with another error than ctx's, or none.
func (i *Inbox) Accept(ctx context.Context, arrival Arrival) (Action, error) {
	action, err := i.committer.Do(ctx, arrival)
	if errors.Is(err, groupcommit.ErrQueueFull) || errors.Is(err, groupcommit.ErrClosed) {
		return action, errors.Join(ErrBusy, err)
	}
	return action, err
}

// Claim is [Store.Claim].
func (i *Inbox) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Delivery, error) {
	return i.store.Claim(ctx, now, lease, limit)
}

// Settle is [Store.Settle].
func (i *Inbox) Settle(ctx context.Context, now time.Time, settlements []Settlement) (lost int, err error) {
	return i.store.Settle(ctx, now, settlements)
}

// LogPositions is [Store.LogPositions].
func (i *Inbox) LogPositions(ctx context.Context, limit int) (LogPositions, error) {
	return i.store.LogPositions(ctx, limit)
}

// ChangePositions is [Store.ChangePositions].
func (i *Inbox) ChangePositions(ctx context.Context, change PositionsChange) error {
	return i.store.ChangePositions(ctx, change)
}

// ReplayStep is [Store.ReplayStep].
func (i *Inbox) ReplayStep(ctx context.Context, now time.Time, limit int) (Replay, error) {
	replay, err := i.store.ReplayStep(ctx, now, limit)
	if err == nil {
		i.hint()
	}
	return replay, err
}

// NextDue is [Store.NextDue].
func (i *Inbox) NextDue(ctx context.Context) (time.Time, bool, error) { return i.store.NextDue(ctx) }

// Wake returns a channel that receives when there may be deliveries to claim. It is only a hint: [Inbox.NextDue] tells.
func (i *Inbox) Wake() <-chan struct{} { return i.wake }

// Watch makes [Inbox.Wake] receive for deliveries that other gateways add, too. It returns when ctx ends, or at once where there can be
// none. onError is called with what keeps it from learning of them.
func (i *Inbox) Watch(ctx context.Context, onError func(error)) { i.store.Watch(ctx, i.hint, onError) }

// Stop takes no more arrivals, and returns once those taken are kept or ctx ends.
func (i *Inbox) Stop(ctx context.Context) error { return i.committer.Close(ctx) }

func (i *Inbox) add(ctx context.Context, arrivals []Arrival) ([]Action, error) {
	actions, err := i.store.Add(ctx, arrivals)
	if err == nil {
		i.hint()
	}
	return actions, err
}

// hint says that there may be deliveries to claim.
func (i *Inbox) hint() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}
