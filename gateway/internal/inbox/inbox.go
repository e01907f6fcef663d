package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/groupcommit"
)

// ErrBusy is returned if the maximum number of deliveries waits to be stored, or the inbox is stopping. A retry may succeed.
var ErrBusy = errors.New("inbox is busy")

const (
	// maxBatch is the maximum number of deliveries that share a commit. If it were larger, all requests would wait for the same commit, and
	// then be read at the same time, so the disk and the webhook server would take turns. docs/performance.md has the figures.
	maxBatch = 128
	// maxBatchBytes is about the maximum size of the bodies of one commit together.
	maxBatchBytes = 8 << 20
	// maxQueue is the maximum number of deliveries that wait for a commit.
	maxQueue = 4096
)

// Inbox accepts deliveries into a store: it lets concurrent deliveries share a commit, and notifies the forwarder of new deliveries.
type Inbox struct {
	store     Store
	committer *groupcommit.Committer[Incoming, Action]
	wake      chan struct{}
}

// New returns an inbox that stores deliveries in store. The caller ends it with [Inbox.Stop], and then closes the store.
func New(store Store) *Inbox {
	i := &Inbox{store: store, wake: make(chan struct{}, 1)}
	i.committer = groupcommit.New(i.add, groupcommit.Options[Incoming, Action]{
		MaxBatch: maxBatch,
		MaxBytes: maxBatchBytes,
		Size:     func(in *Incoming) int { return len(in.Body) },
		MaxQueue: maxQueue,
		// Every error except that of an unavailable database may be caused by one delivery, and must not affect the others.
		MayBeItemsFault: func(err error) bool { return !errors.Is(err, ErrUnavailable) },
	})
	return i
}

// Accept stores a delivery, and returns after it is durable.
//
// It returns [ErrBusy] if the delivery was not taken, [ErrUnavailable] if the store can't store it now, and ctx's cause if ctx ended first.
// If ctx ended first, the delivery may still be stored. The delivery's body must not be modified until Accept returns. If Accept returns
// ctx's cause, the body must not be modified at all.
func (i *Inbox) Accept(ctx context.Context, incoming Incoming) (Action, error) {
	action, err := i.committer.Do(ctx, incoming)
	if errors.Is(err, groupcommit.ErrQueueFull) || errors.Is(err, groupcommit.ErrClosed) {
		return action, errors.Join(ErrBusy, err)
	}
	return action, err
}

// Claim is [Store.Claim].
func (i *Inbox) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Delivery, error) {
	return i.store.Claim(ctx, now, lease, limit)
}

// Finish is [Store.Finish].
func (i *Inbox) Finish(ctx context.Context, now time.Time, outcomes []Outcome) (lost int, err error) {
	return i.store.Finish(ctx, now, outcomes)
}

// LogPositions is [Store.LogPositions].
func (i *Inbox) LogPositions(ctx context.Context, limit int) (LogPositions, error) {
	return i.store.LogPositions(ctx, limit)
}

// ChangePositions is [Store.ChangePositions].
func (i *Inbox) ChangePositions(ctx context.Context, change PositionsChange) error {
	return i.store.ChangePositions(ctx, change)
}

// ReplayStep is [Store.ReplayStep]. It also makes [Inbox.Wake] receive, because deliveries may be pending again.
func (i *Inbox) ReplayStep(ctx context.Context, now time.Time, limit int) (Replay, error) {
	replay, err := i.store.ReplayStep(ctx, now, limit)
	if err == nil {
		i.hint()
	}
	return replay, err
}

// NextDue is [Store.NextDue].
func (i *Inbox) NextDue(ctx context.Context) (time.Time, bool, error) { return i.store.NextDue(ctx) }

// Wake returns a channel that receives when there may be deliveries to claim. It is only a hint. [Inbox.NextDue] returns whether there are
// any.
func (i *Inbox) Wake() <-chan struct{} { return i.wake }

// Subscribe makes [Inbox.Wake] receive for deliveries that other gateways add too. It returns when ctx ends, or at once if there can be no
// other gateways. onError is called with the reason if it can't learn of their deliveries.
func (i *Inbox) Subscribe(ctx context.Context, onError func(error)) {
	i.store.Subscribe(ctx, i.hint, onError)
}

// Stop takes no more deliveries. It returns after the deliveries that were taken are stored, or when ctx ends.
func (i *Inbox) Stop(ctx context.Context) error { return i.committer.Close(ctx) }

func (i *Inbox) add(ctx context.Context, incoming []Incoming) ([]Action, error) {
	actions, err := i.store.Add(ctx, incoming)
	if err == nil {
		i.hint()
	}
	return actions, err
}

// hint signals that there may be deliveries to claim.
func (i *Inbox) hint() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}
