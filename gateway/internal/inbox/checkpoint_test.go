package inbox_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func TestLogPositions_NextCheckpoint_claimsNoMoreThanWasChecked(t *testing.T) {
	t.Parallel()
	known := inbox.LogPositions{Checkpoints: []inbox.Checkpoint{checkpoint(2, noon), checkpoint(1, noon.Add(-time.Minute))}}
	later := noon.Add(time.Second)
	for name, test := range map[string]struct {
		known inbox.LogPositions
		all   bool
		want  time.Time
	}{
		"all were checked":          {known, true, later},
		"the oldest were checked":   {known, false, noon},
		"the first that there are":  {inbox.LogPositions{}, true, later},
		"a part of the first ones":  {inbox.LogPositions{}, false, time.Time{}},
		"nothing was known of time": {inbox.LogPositions{Checkpoints: []inbox.Checkpoint{checkpoint(1, time.Time{})}}, false, time.Time{}},
	} {
		want := inbox.Checkpoint{Position: position(9), ForwardedBefore: test.want}
		if diff := cmp.Diff(want, test.known.NextCheckpoint(position(9), later, test.all)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestLogPositions_Checked_keepsASeries checks once a second for three months.
func TestLogPositions_Checked_keepsASeries(t *testing.T) {
	t.Parallel()
	known := inbox.LogPositions{Unchecked: []inbox.UncheckedPosition{{ID: 1 << 40}}}
	now, id, most := noon, int64(0), 0
	check := func() {
		id++
		change := known.Checked(known.NextCheckpoint(position(id), now, true), now)
		if change.Drop[0] != 1<<40 {
			t.Fatalf("dropped %v, want the unchecked position first", change.Drop)
		}
		known.Checkpoints = slices.DeleteFunc(known.Checkpoints, func(c inbox.Checkpoint) bool { return slices.Contains(change.Drop, c.ID) })
		added := *change.Add
		added.ID = id
		known.Checkpoints = slices.Insert(known.Checkpoints, 0, added)
		most = max(most, len(known.Checkpoints))
	}
	for range 90 * 24 * 60 { // Every minute, and every second of the last hours.
		check()
		now = now.Add(time.Minute)
	}
	for range 3 * 3600 {
		check()
		now = now.Add(time.Second)
	}
	if most > 150 {
		t.Errorf("%d checkpoints are kept, want at most 150", most)
	}
	// Whatever the time of a loss is, there is a checkpoint before it that is not much older.
	for age, want := range map[time.Duration]time.Duration{time.Second: 2 * time.Minute, 59 * time.Minute: 2 * time.Minute,
		20 * time.Hour: 2 * time.Hour, 58 * 24 * time.Hour: 48 * time.Hour} {
		at := now.Add(-age)
		i := slices.IndexFunc(known.Checkpoints, func(c inbox.Checkpoint) bool { return !c.ForwardedBefore.After(at) })
		if i < 0 || at.Sub(known.Checkpoints[i].ForwardedBefore) > want {
			t.Errorf("%v ago: the checkpoint before is number %d of %d, want one at most %v older", age, i, len(known.Checkpoints), want)
		}
	}
}

// TestLogPositions_Checked_keepsOneOfEachPeriodIfClocksDiffer has two gateways that check in turn for an hour. Their clocks differ by half
// a minute. A replay sends all checkpoints to ticketsvc in one call, which accepts 1000.
func TestLogPositions_Checked_keepsOneOfEachPeriodIfClocksDiffer(t *testing.T) {
	t.Parallel()
	var known inbox.LogPositions
	for id := range int64(2 * 3600) {
		now := noon.Add(time.Duration(id) * time.Second / 2)
		if id%2 == 1 {
			now = now.Add(30 * time.Second)
		}
		change := known.Checked(known.NextCheckpoint(position(id), now, true), now)
		known.Checkpoints = slices.DeleteFunc(known.Checkpoints, func(c inbox.Checkpoint) bool { return slices.Contains(change.Drop, c.ID) })
		change.Add.ID = id + 1
		known.Checkpoints = slices.Insert(known.Checkpoints, 0, *change.Add)
	}
	if got := len(known.Checkpoints); got > 65 {
		t.Errorf("%d checkpoints are kept, want at most 65", got)
	}
}
