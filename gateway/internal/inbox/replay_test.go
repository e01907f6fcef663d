package inbox_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func TestLogPositions_Diverged_replaysSinceTheNewestCheckpointThatIsHeld(t *testing.T) {
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
			if all && limit > 0 {
				at, more = at.Wrap()
			} else {
				at, more = at.Advance(lastSeen)
			}
		}
		if len(unseen) > 0 || steps > 200 {
			t.Errorf("seed %d: the replay ended after %d steps and did not look at %v of %v", seed, steps, unseen, ids)
		}
	}
}
