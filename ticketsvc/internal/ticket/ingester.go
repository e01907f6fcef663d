package ticket

import (
	"context"
	"errors"
	"fmt"

	"github.com/ticketbridge/ticketbridge/internal/groupcommit"
)

var (
	// ErrTooManyWaiting is returned for a change beyond the queue's limit. The caller retries later.
	ErrTooManyWaiting = errors.New("too many events wait to be recorded")
	// ErrStopping is returned when the ingester stops.
	ErrStopping = errors.New("the ingester is stopping")
)

const (
	// maxBatch is the maximum number of events in one commit. With so many, the fixed cost of a commit is about a microsecond an event. In a
	// larger batch the first event would wait longer for the last.
	maxBatch = 256
	// maxBatchBytes is the approximate maximum size of the events of one commit.
	maxBatchBytes = 8 << 20
	// maxQueue is the maximum number of waiting events: about a second's work.
	maxQueue = 4096
)

// Ingester appends events to a store. Concurrent events share a commit.
type Ingester struct {
	committer *groupcommit.Committer[Change, AppendResult]
}

// NewIngester returns an ingester of store. The caller stops it with [Ingester.Stop] before it closes the store.
func NewIngester(store Store) *Ingester {
	return &Ingester{committer: groupcommit.New(store.Append, groupcommit.Options[Change, AppendResult]{
		MaxBatch: maxBatch,
		MaxBytes: maxBatchBytes,
		Size:     (*Change).size,
		MaxQueue: maxQueue,
		// If the database can't be reached, no single change is at fault.
		MayBeItemsFault: func(err error) bool { return !errors.Is(err, ErrUnavailable) },
		Deferred:        func(r *AppendResult) bool { return r.Deferred },
	})}
}

// Append records an event, and returns when it is durable. The result reports whether the event had an effect.
//
// Errors: [ErrTooManyWaiting] and [ErrStopping] if the change was not taken; those of [Store.Append] and [AppendResult] if it was not
// recorded; ctx's error if ctx ended first, and then the event may still be recorded. The error names the event and the ticket. The caller
// must not modify the change's lists and maps afterwards.
func (in *Ingester) Append(ctx context.Context, change Change) (AppendResult, error) {
	recorded, err := in.committer.Do(ctx, change)
	recorded = outcome(&change, recorded, err)
	return recorded, recorded.Err
}

// AppendAll is like [Ingester.Append] for several changes. Each has its own result, with the error that Append would return in
// [AppendResult.Err]. AppendAll itself returns ctx's error: some of the changes may then be recorded. The caller must not modify the
// changes afterwards.
func (in *Ingester) AppendAll(ctx context.Context, changes []Change) ([]AppendResult, error) {
	results, err := in.committer.DoAll(ctx, changes)
	if err != nil {
		return nil, err
	}
	all := make([]AppendResult, len(changes))
	for i, result := range results {
		all[i] = outcome(&changes[i], result.Value, result.Err)
	}
	return all, nil
}

// outcome returns the result of a change from the committer's.
func outcome(change *Change, recorded AppendResult, err error) AppendResult {
	switch {
	case err == nil:
		err = recorded.Err
	case errors.Is(err, groupcommit.ErrQueueFull):
		err = ErrTooManyWaiting
	case errors.Is(err, groupcommit.ErrClosed):
		err = ErrStopping
	}
	if err != nil {
		return AppendResult{Err: fmt.Errorf("event %q of ticket %q: %w", change.EventID, change.TicketID, err)}
	}
	return recorded
}

// Stop takes no more events. It waits until those taken are recorded or ctx ends.
func (in *Ingester) Stop(ctx context.Context) error { return in.committer.Close(ctx) }
