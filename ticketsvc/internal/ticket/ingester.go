package ticket

import (
	"context"
	"errors"
	"fmt"

	"github.com/ticketbridge/ticketbridge/internal/groupcommit"
)

var (
	// ErrBusy says that the change was not taken, because as many as may wait are waiting. Try again later.
	ErrBusy = errors.New("too many events wait to be recorded")
	// ErrStopping says that the change was not taken, because the recorder is stopping.
	ErrStopping = errors.New("the recorder is stopping")
)

const (
	// maxBatch is how many events share a commit at most. There a commit's fixed cost is about a microsecond per event, and in
	// a larger batch the first would wait longer for the last.
	maxBatch = 256
	// maxBatchBytes is about how large the events of one commit are together at most.
	maxBatchBytes = 8 << 20
	// maxQueue is how many events wait at most: what is recorded in about a second, before callers give up.
	maxQueue = 4096
)

// Recorder is the front of a store: it lets concurrent events share a commit.
type Recorder struct {
	committer *groupcommit.Committer[Change, Recorded]
}

// NewRecorder returns a recorder in front of store. End it with [Recorder.Stop], then close the store.
func NewRecorder(store Store) *Recorder {
	return &Recorder{committer: groupcommit.New(store.Record, groupcommit.Options[Change, Recorded]{
		MaxBatch: maxBatch,
		MaxBytes: maxBatchBytes,
		Size:     (*Change).size,
		MaxQueue: maxQueue,
		// When the database is away it is so for all of them.
		MayBeItemsFault: func(err error) bool { return !errors.Is(err, ErrUnavailable) },
		Deferred:        func(r *Recorded) bool { return r.Deferred },
	})}
}

// Record records an event, and returns once it is durable. What is returned says when it had no effect.
//
// It returns [ErrBusy] or [ErrStopping] when the change was not taken, the errors of [Store.Record] and of [Recorded] when it was not
// recorded, and ctx's error when ctx ended first; in that last case it may be recorded all the same. The change's lists and maps must not
// be changed afterwards. The text names the event and the ticket.
func (r *Recorder) Record(ctx context.Context, change Change) (Recorded, error) {
	recorded, err := r.committer.Do(ctx, change)
	recorded = outcome(&change, recorded, err)
	return recorded, recorded.Err
}

// RecordAll is as [Recorder.Record] for several changes, each of which has its own result: [Recorded.Err] is the error that Record would
// return. The error of the call is ctx's: some of the changes may be recorded then. The changes must not be changed afterwards.
func (r *Recorder) RecordAll(ctx context.Context, changes []Change) ([]Recorded, error) {
	results, err := r.committer.DoAll(ctx, changes)
	if err != nil {
		return nil, err
	}
	all := make([]Recorded, len(changes))
	for i, result := range results {
		all[i] = outcome(&changes[i], result.Value, result.Err)
	}
	return all, nil
}

// outcome returns what became of a change from what the committer returned for it.
func outcome(change *Change, recorded Recorded, err error) Recorded {
	switch {
	case err == nil:
		err = recorded.Err
	case errors.Is(err, groupcommit.ErrQueueFull):
		err = ErrBusy
	case errors.Is(err, groupcommit.ErrClosed):
		err = ErrStopping
	}
	if err != nil {
		return Recorded{Err: fmt.Errorf("event %q of ticket %q: %w", change.EventID, change.TicketID, err)}
	}
	return recorded
}

// Stop takes no more events, and returns once those taken are recorded or ctx ends.
func (r *Recorder) Stop(ctx context.Context) error { return r.committer.Close(ctx) }
