package inboxtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func position(sequence int64) inbox.LogPosition {
	return inbox.LogPosition{DatabaseID: "\x00of 16 bytes\xff\xfe\xfd", Sequence: sequence, Fingerprint: 1<<63 + uint64(sequence)}
}

func mustKnow(t *testing.T, store inbox.Store, limit int) inbox.LogPositions {
	t.Helper()
	known, err := store.LogPositions(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func mustChange(t *testing.T, store inbox.Store, change inbox.PositionsChange) {
	t.Helper()
	if err := store.ChangePositions(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

// mustForward adds that number of deliveries and finishes them as forwarded at that time. Each has its own position, from that sequence
// number on.
func mustForward(t *testing.T, store inbox.Store, at time.Time, from, n int) {
	t.Helper()
	incoming := make([]inbox.Incoming, n)
	for i := range incoming {
		incoming[i] = Incoming(fmt.Sprintf("%05d", from+i), fmt.Sprint(from+i))
	}
	mustAdd(t, store, incoming...)
	var outcomes []inbox.Outcome
	for _, d := range mustClaim(t, store, Epoch.Add(time.Hour), n) {
		s := forwarded(d)
		s.Position = position(int64(from + len(outcomes)))
		outcomes = append(outcomes, s)
	}
	if lost := mustFinish(t, store, at, outcomes...); lost != 0 || len(outcomes) != n {
		t.Fatalf("forwarded %d of %d deliveries, %d too late", len(outcomes), n, lost)
	}
}

// mustReplay takes steps until the replay is over, and returns its result.
func mustReplay(t *testing.T, store inbox.Store, now time.Time, limit int) inbox.Replay {
	t.Helper()
	for steps := 0; ; steps++ {
		replay, err := store.ReplayStep(t.Context(), now, limit)
		if err != nil || steps > 10_000 {
			t.Fatalf("step %d: %v", steps, err)
		}
		if replay.Done {
			return replay
		}
	}
}

func testPositions(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	if known := mustKnow(t, store, 10); len(known.Unchecked)+len(known.Checkpoints) != 0 || known.Replaying {
		t.Errorf("an empty store knows %+v", known)
	}
	mustForward(t, store, Epoch, 1, 3)
	known := mustKnow(t, store, 2)
	if len(known.Unchecked) != 2 || known.Unchecked[0].Position != position(1) || known.Unchecked[1].Position != position(2) {
		t.Fatalf("unchecked are %+v, want the first two", known.Unchecked)
	}
	before := []time.Time{{}, Epoch, Epoch.Add(time.Minute)}
	for i, at := range before {
		mustChange(t, store, inbox.PositionsChange{Drop: []int64{known.Unchecked[0].ID}, // The second time it is gone already.
			Add: &inbox.Checkpoint{Position: position(int64(10 + i)), ForwardedBefore: at}})
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = engine.Open(t, "a")
	known = mustKnow(t, store, 10)
	var got []inbox.LogPosition
	for _, u := range known.Unchecked {
		got = append(got, u.Position)
	}
	if diff := cmp.Diff([]inbox.LogPosition{position(2), position(3)}, got); diff != "" {
		t.Errorf("unchecked: %s", diff)
	}
	for i, c := range known.Checkpoints {
		if at := 2 - i; c.Position != position(int64(10+at)) || !c.ForwardedBefore.Equal(before[at]) {
			t.Errorf("checkpoint %d is %+v, want the newest first", i, c)
		}
	}
	mustChange(t, store, inbox.PositionsChange{Drop: []int64{known.Checkpoints[1].ID, known.Unchecked[0].ID, known.Unchecked[1].ID}})
	if known = mustKnow(t, store, 10); len(known.Unchecked) != 0 || len(known.Checkpoints) != 2 {
		t.Errorf("%+v, want two checkpoints", known)
	}
}

// testReplay has deliveries of all states. Only deliveries that were forwarded since are replayed, the newest first.
func testReplay(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	since := Epoch.Add(time.Minute)
	mustForward(t, store, since.Add(-time.Nanosecond), 0, 10)
	mustForward(t, store, since, 10, 25)
	mustAdd(t, store, rejected("rejected", "body"), Incoming("dead", "dead"))
	dead := mustClaim(t, store, Epoch.Add(time.Hour), 1)[0]
	mustFinish(t, store, since, inbox.Outcome{Lease: dead.Lease, State: inbox.Dead, Reason: "hopeless", Attempts: 1})
	mustAdd(t, store, Incoming("new", "new"))
	mustChange(t, store, inbox.PositionsChange{ReplaySince: &since})
	if !mustKnow(t, store, 10).Replaying {
		t.Error("the replay is not known")
	}
	now := Epoch.Add(2 * time.Hour)
	replay, err := store.ReplayStep(t.Context(), now, 10)
	if err != nil || replay.Done || replay.Requeued != 10 {
		t.Fatalf("the first step: %+v, %v; want 10 deliveries", replay, err)
	}
	want := []string{"00025", "00026", "00027", "00028", "00029", "00030", "00031", "00032", "00033", "00034", "new"}
	if got := eventIDs(mustClaim(t, store, now, 100)); !slices.Equal(got, want) {
		t.Errorf("after the first step %v are pending, want %v", got, want)
	}
	// It continues after a restart.
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = engine.Open(t, "a")
	if replay = mustReplay(t, store, now, 10); replay.Requeued != 25 || replay.WithoutBody != 0 {
		t.Errorf("replayed %+v, want 25 deliveries", replay)
	}
	if mustKnow(t, store, 10).Replaying {
		t.Error("the replay is not over")
	}
	wantStates(t, engine, map[inbox.State]int{inbox.Pending: 26, inbox.Forwarded: 10, inbox.Dead: 1, inbox.Rejected: 1})
	if again := mustReplay(t, store, now, 10); again.Requeued != 0 {
		t.Errorf("a replay that does not run: %+v", again)
	}
	claimed := mustClaim(t, store, now.Add(time.Hour), 100) // Leases that a restart does not end have run out.
	if len(claimed) != 26 {
		t.Errorf("claimed %d, want 26", len(claimed))
	}
	for i, d := range claimed {
		if d.EventID != "new" && (d.Reason != inbox.ReasonReplayed || d.Attempts != 0 || d.Deferrals != inbox.ReplayDeferrals ||
			len(d.Body) == 0) {
			t.Errorf("%d: %+v", i, d)
		}
		mustFinish(t, store, now, forwarded(d))
	}
	wantStates(t, engine, map[inbox.State]int{inbox.Forwarded: 36, inbox.Dead: 1, inbox.Rejected: 1})
}

// testReplayHoldsUpNothingNew claims one by one while a replay is not over.
func testReplayHoldsUpNothingNew(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustForward(t, store, Epoch, 0, 20)
	mustChange(t, store, inbox.PositionsChange{ReplaySince: &time.Time{}})
	now := Epoch.Add(2 * time.Hour)
	mustReplay(t, store, now, 100)
	for i := range 3 {
		a := Incoming(fmt.Sprint("new ", i), fmt.Sprint("new ", i))
		a.ReceiveTime = now.Add(time.Duration(i) * time.Second)
		mustAdd(t, store, a)
		if claimed := mustClaim(t, store, now.Add(3*time.Second), 1); len(claimed) != 1 || claimed[0].EventID != a.EventID {
			t.Errorf("claimed %v, want %s", eventIDs(claimed), a.EventID)
		}
	}
}

// testReplayIsWidened has a second loss that is noticed while a replay runs, with a later time. All deliveries are replayed, because the
// replay has not covered all of them yet. Those that it made pending before are replayed twice.
func testReplayIsWidened(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustForward(t, store, Epoch, 0, 10)
	mustForward(t, store, Epoch.Add(time.Hour), 10, 10)
	mustChange(t, store, inbox.PositionsChange{ReplaySince: &Epoch})
	now := Epoch.Add(2 * time.Hour)
	if _, err := store.ReplayStep(t.Context(), now, 5); err != nil {
		t.Fatal(err)
	}
	for _, d := range mustClaim(t, store, now, 5) {
		mustFinish(t, store, now, forwarded(d))
	}
	later := Epoch.Add(time.Minute)
	mustChange(t, store, inbox.PositionsChange{ReplaySince: &later})
	if replay := mustReplay(t, store, now, 5); replay.Requeued != 25 {
		t.Errorf("replayed %+v, want 25: 5 of them twice", replay)
	}
	wantStates(t, engine, map[inbox.State]int{inbox.Pending: 20})
}

// testReplayEndsAlthoughLossesGoOn has a loss that is noticed after each step, when the deliveries of the step are forwarded: two databases
// answer in turn. Still every delivery is forwarded again.
func testReplayEndsAlthoughLossesGoOn(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	const deliveries, perStep = 20, 5
	mustForward(t, store, Epoch, 0, deliveries)
	now, again := Epoch.Add(2*time.Hour), map[string]bool{}
	for range deliveries / perStep {
		mustChange(t, store, inbox.PositionsChange{ReplaySince: &time.Time{}})
		if _, err := store.ReplayStep(t.Context(), now, perStep); err != nil {
			t.Fatal(err)
		}
		for _, d := range mustClaim(t, store, now, deliveries) {
			again[d.EventID] = true
			mustFinish(t, store, now, forwarded(d))
		}
	}
	if len(again) != deliveries {
		t.Errorf("%d of %d deliveries were forwarded again", len(again), deliveries)
	}
	// Now it ends: the deliveries of the last step were forwarded since the last loss.
	mustReplay(t, store, now, perStep)
	wantStates(t, engine, map[inbox.State]int{inbox.Pending: deliveries - perStep, inbox.Forwarded: perStep})
}

// testReplayers has several gateways that take the steps of one replay.
func testReplayers(t *testing.T, engine Engine) {
	const deliveries = 200
	stores := engine.several(t, 3)
	mustForward(t, stores[0], Epoch, 0, deliveries)
	mustChange(t, stores[0], inbox.PositionsChange{ReplaySince: &time.Time{}})
	if !engine.Shared {
		stores = stores[:1]
	}
	var replayers sync.WaitGroup
	var ended atomic.Int64
	for _, store := range stores {
		replayers.Go(func() {
			for {
				replay, err := store.ReplayStep(t.Context(), Epoch, 7)
				if err != nil {
					t.Error(err)
					return
				}
				if replay.Ended {
					ended.Add(1)
				}
				if replay.Done {
					return
				}
			}
		})
	}
	replayers.Wait()
	if n := ended.Load(); n != 1 {
		t.Errorf("%d steps ended the replay, want 1", n)
	}
	wantStates(t, engine, map[inbox.State]int{inbox.Pending: deliveries})
}

func testPositionsCutShort(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustForward(t, store, Epoch, 0, 10)
	unchecked := mustKnow(t, store, 10).Unchecked
	step := 0
	cutShort(t, func(ctx context.Context, _ int) error {
		_, err := store.LogPositions(ctx, 10)
		return err
	}, func(int) {})
	cutShort(t, func(ctx context.Context, n int) error {
		step = n
		return store.ChangePositions(ctx, inbox.PositionsChange{Drop: []int64{unchecked[0].ID},
			Add: &inbox.Checkpoint{Position: position(int64(n)), ForwardedBefore: Epoch}})
	}, func(n int) {
		known := mustKnow(t, store, 10)
		if has := len(known.Checkpoints) > 0 && known.Checkpoints[0].Position == position(int64(n)); has && len(known.Unchecked) != 9 {
			t.Errorf("%+v: a part of the change was made", known)
		}
	})
	if known := mustKnow(t, store, 10); known.Checkpoints[0].Position != position(int64(step)) || len(known.Unchecked) != 9 {
		t.Errorf("%+v, want the last change", known)
	}
	mustChange(t, store, inbox.PositionsChange{ReplaySince: &time.Time{}})
	cutShort(t, func(ctx context.Context, _ int) error {
		_, err := store.ReplayStep(ctx, Epoch, 1)
		return err
	}, func(int) {})
	mustReplay(t, store, Epoch, 1)
	wantStates(t, engine, map[inbox.State]int{inbox.Pending: 10})
}
