package inbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func position(sequence int64) inbox.LogPosition {
	return inbox.LogPosition{DatabaseID: "database", Sequence: sequence, Fingerprint: uint64(sequence) * 7}
}

func checkpoint(id int64, before time.Time) inbox.Checkpoint {
	return inbox.Checkpoint{ID: id, Position: position(id), ForwardedBefore: before}
}

func TestForwardedPositions_eachOnce(t *testing.T) {
	t.Parallel()
	outcome := func(state inbox.State, sequence int64) inbox.Outcome {
		return inbox.Outcome{State: state, Position: position(sequence)}
	}
	got := inbox.ForwardedPositions([]inbox.Outcome{outcome(inbox.Forwarded, 2), outcome(inbox.Forwarded, 1),
		outcome(inbox.Forwarded, 2), outcome(inbox.Dead, 3), outcome(inbox.Pending, 4), {State: inbox.Forwarded}})
	if diff := cmp.Diff([]inbox.LogPosition{position(2), position(1)}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLogPositions_Thinned_dropsEveryOther(t *testing.T) {
	t.Parallel()
	known := inbox.LogPositions{Checkpoints: []inbox.Checkpoint{checkpoint(1, noon)}}
	for i := range int64(5) {
		known.Unchecked = append(known.Unchecked, inbox.UncheckedPosition{ID: 10 + i})
	}
	if got := fmt.Sprint(known.Thinned().Drop); got != "[10 12 14]" {
		t.Errorf("dropped %s, want every other", got)
	}
}
