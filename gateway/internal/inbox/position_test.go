package inbox_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
	settlement := func(state inbox.State, sequence int64) inbox.Settlement {
		return inbox.Settlement{State: state, Position: position(sequence)}
	}
	got := inbox.ForwardedPositions([]inbox.Settlement{settlement(inbox.Forwarded, 2), settlement(inbox.Forwarded, 1),
		settlement(inbox.Forwarded, 2), settlement(inbox.Dead, 3), settlement(inbox.Pending, 4), {State: inbox.Forwarded}})
	if diff := cmp.Diff([]inbox.LogPosition{position(2), position(1)}, got); diff != "" {
		t.Error(diff)
	}
}

func TestNextCheckpoint_claimsNoMoreThanWasChecked(t *testing.T) {
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

func TestDiverged_replaysSinceTheNewestCheckpointThatIsHeld(t *testing.T) {
	t.Parallel()
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	known := inbox.LogPositions{
		Unchecked:   []inbox.UncheckedPosition{{ID: 10, Position: position(10)}, {ID: 11, Position: position(11)}},
		Checkpoints: []inbox.Checkpoint{checkpoint(3, at(30)), checkpoint(2, at(20)), checkpoint(1, at(10))},
	}
	for name, test := range map[string]struct {
		missing []inbox.LogPosition
		since   time.Time
		drop    []int64
	}{
		"an unchecked one is missing":  {nil, at(28), []int64{10, 11}},
		"the newest is missing":        {[]inbox.LogPosition{position(3)}, at(18), []int64{10, 11, 3}},
		"all are missing":              {[]inbox.LogPosition{position(3), position(2), position(1)}, time.Time{}, []int64{10, 11, 3, 2, 1}},
		"another database's are there": {[]inbox.LogPosition{{DatabaseID: "other", Sequence: 3, Fingerprint: 21}}, at(28), []int64{10, 11}},
	} {
		got := known.Diverged(test.missing)
		if diff := cmp.Diff(inbox.PositionsChange{Drop: test.drop, ReplaySince: &test.since}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	unknown := inbox.LogPositions{Checkpoints: []inbox.Checkpoint{checkpoint(3, time.Time{})}}
	if got := unknown.Diverged(nil); !got.ReplaySince.IsZero() {
		t.Errorf("a checkpoint that knows nothing of time: since %v, want everything", got.ReplaySince)
	}
}

// TestChecked_keepsASeries checks once a second for three months.
func TestChecked_keepsASeries(t *testing.T) {
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

// TestChecked_keepsOneOfEachSpanAlsoWhereClocksDiffer has two gateways that check in turn for an hour. Their clocks differ by half a
// minute. A replay sends all checkpoints to ticketsvc in one call, which accepts 1000.
func TestChecked_keepsOneOfEachSpanAlsoWhereClocksDiffer(t *testing.T) {
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

// TestReplayCursor_looksAtEverythingSinceTheLastLoss takes steps over random ids. After each loss in between, all of the ids must be
// covered once more.
func TestReplayCursor_looksAtEverythingSinceTheLastLoss(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 0))
		at, unseen := inbox.ReplayCursor{Before: math.MaxInt64}, map[int64]bool{}
		ids := make([]int64, random.IntN(20))
		last := int64(0)
		for i := range ids {
			last += 1 + random.Int64N(3)
			ids[i] = last
			unseen[last] = true
		}
		losses, steps := random.IntN(5), 0
		for more := true; more; steps++ {
			if losses > 0 && random.IntN(3) == 0 {
				losses--
				at.Through = at.Before
				for _, id := range ids {
					unseen[id] = true
				}
			}
			limit, lowest, lastSeen, all := 1+random.IntN(5), at.Lowest(), int64(0), true
			for _, id := range slices.Backward(ids) {
				if id >= at.Before || id < lowest {
					continue
				}
				if limit--; limit < 0 {
					all = false
					break
				}
				lastSeen = id
				delete(unseen, id)
			}
			// A step that reads the maximum number does not know that these were all.
			at, more = at.Next(lastSeen, all && limit > 0)
		}
		if len(unseen) > 0 || steps > 200 {
			t.Errorf("seed %d: the replay ended after %d steps and did not look at %v of %v", seed, steps, unseen, ids)
		}
	}
}

func TestThinned_dropsEveryOther(t *testing.T) {
	t.Parallel()
	known := inbox.LogPositions{Checkpoints: []inbox.Checkpoint{checkpoint(1, noon)}}
	for i := range int64(5) {
		known.Unchecked = append(known.Unchecked, inbox.UncheckedPosition{ID: 10 + i})
	}
	if got := fmt.Sprint(known.Thinned().Drop); got != "[10 12 14]" {
		t.Errorf("dropped %s, want every other", got)
	}
}
