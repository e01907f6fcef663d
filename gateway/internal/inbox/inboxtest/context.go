package inboxtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// askedContext is a context that ends after it has been asked a number of times whether it has ended. So a call can be cut off at each of
// its steps, one after another.
type askedContext struct {
	context.Context

	done chan struct{}
	mu   sync.Mutex
	left int
}

func newAskedContext(t *testing.T, times int) *askedContext {
	return &askedContext{Context: t.Context(), done: make(chan struct{}), left: times}
}

func (c *askedContext) ask() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left == 0 {
		close(c.done)
	}
}

// Done implements [context.Context].
func (c *askedContext) Done() <-chan struct{} {
	c.ask()
	return c.done
}

// Err implements [context.Context].
func (c *askedContext) Err() error {
	c.ask()
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}

// cutShort calls f with contexts that end after being asked once, twice and so on, until f succeeds. In between it calls after.
func cutShort(t *testing.T, f func(ctx context.Context, step int) error, after func(step int)) {
	t.Helper()
	const tooMany = 1000
	for step := 1; step < tooMany; step++ {
		err := f(newAskedContext(t, step), step)
		if err == nil {
			t.Logf("went through after %d steps", step-1)
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cut short at step %d: %v, want context.Canceled", step, err)
		}
		after(step)
		if t.Failed() {
			t.Fatalf("after a call that was cut short at step %d", step)
		}
	}
	t.Fatalf("did not go through in %d steps", tooMany)
}

func testAddCutShort(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Incoming("0", "zero"), rejected("1", "stale"))
	batch := func(step int) []inbox.Incoming {
		event := fmt.Sprint("new ", step)
		return []inbox.Incoming{Incoming(event, event), Incoming("0", "zero"), rejected(event+" stale", event), Incoming(event, "other "+event)}
	}
	all := []inbox.Action{inbox.Insert, inbox.Ignore, inbox.Insert, inbox.Conflict}
	kept := []inbox.Action{inbox.Ignore, inbox.Ignore, inbox.Ignore, inbox.Ignore}
	added := 0
	cutShort(t, func(ctx context.Context, step int) error {
		added++
		actions, err := store.Add(ctx, batch(step))
		if err == nil {
			if diff := cmp.Diff(all, actions); diff != "" {
				t.Error(diff)
			}
		}
		return err
	}, func(step int) {
		again := mustAdd(t, store, batch(step)...)
		if !cmp.Equal(again, all) && !cmp.Equal(again, kept) {
			t.Errorf("adding it again: %v, want %v or %v", again, all, kept)
		}
	})
	wantStates(t, engine, map[inbox.State]int{inbox.Pending: 1 + added, inbox.Rejected: 1 + 2*added})
}

// claimAll claims until it has all deliveries. A call that was cut off may hold some of them for another moment.
func claimAll(t *testing.T, store inbox.Store, now time.Time, want int) []inbox.Delivery {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	claimed := mustClaim(t, store, now, want)
	for len(claimed) < want && time.Now().Before(deadline) {
		claimed = append(claimed, mustClaim(t, store, now, want)...)
	}
	if len(claimed) != want {
		t.Fatalf("claimed %d, want %d", len(claimed), want)
	}
	return claimed
}

func testClaimCutShort(t *testing.T, engine Engine) {
	const events = 3
	store := engine.Open(t, "a")
	addEvents(t, store, events)
	now := Epoch
	cutShort(t, func(ctx context.Context, _ int) error {
		claimed, err := store.Claim(ctx, now, lease, 10)
		if err == nil && len(claimed) != events {
			t.Errorf("claimed %d, want %d", len(claimed), events)
		}
		return err
	}, func(int) {
		now = now.Add(lease)
		claimAll(t, store, now, events)
		now = now.Add(lease)
	})
	now = now.Add(lease)
	for _, d := range claimAll(t, store, now, events) {
		if lost := mustFinish(t, store, now, forwarded(d)); lost != 0 {
			t.Error("an outcome is lost")
		}
	}
}

func testFinishCutShort(t *testing.T, engine Engine) {
	const events = 4
	store := engine.Open(t, "a")
	now, batches := Epoch, 0
	// outcomes claims new deliveries and returns outcomes of all kinds for them.
	outcomes := func() []inbox.Outcome {
		batch := make([]inbox.Incoming, events)
		for i := range batch {
			batch[i] = Incoming(fmt.Sprintf("%d of %d", i, batches), fmt.Sprintf("%d of %d", i, batches))
			batch[i].ReceiveTime = now
		}
		batches++
		mustAdd(t, store, batch...)
		made := make([]inbox.Outcome, events)
		for i, d := range claimAll(t, store, now, events) {
			made[i] = forwarded(d)
			if i == 0 {
				made[i] = inbox.Outcome{Lease: d.Lease, State: inbox.Dead, Reason: "hopeless"}
			}
		}
		return made
	}
	made := outcomes()
	cutShort(t, func(ctx context.Context, _ int) error {
		lost, err := store.Finish(ctx, now, made)
		if lost != 0 {
			t.Errorf("lost %d", lost)
		}
		return err
	}, func(int) {
		// This waits for a call that is still running, and then either does all of the work or finds it done.
		lost := mustFinish(t, store, now, made...)
		now = now.Add(lease)
		if left := mustClaim(t, store, now, 2*events); lost != 0 && lost != events || len(left) != 0 {
			t.Errorf("finishing again lost %d of %d, and %d are pending", lost, events, len(left))
		}
		made = outcomes()
	})
	if claimed := mustClaim(t, store, now.Add(lease), 10); len(claimed) != 0 {
		t.Errorf("claimed %d finished deliveries", len(claimed))
	}
}

func testQuestionsCutShort(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Incoming("1", "one"))
	cutShort(t, func(ctx context.Context, _ int) error {
		due, pending, err := store.NextDue(ctx)
		if err == nil && (!pending || !due.Equal(Epoch)) {
			t.Errorf("NextDue = %v, %v; want %v", due, pending, Epoch)
		}
		return err
	}, func(int) {})
	cutShort(t, func(ctx context.Context, _ int) error { return store.Ping(ctx) }, func(int) {})
	if diff := cmp.Diff([]string{"1"}, eventIDs(mustClaim(t, store, Epoch, 10))); diff != "" {
		t.Error(diff)
	}
}

func testEndedContext(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Incoming("1", "one"))
	d := mustClaim(t, store, Epoch, 1)[0]
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := store.Add(ended, []inbox.Incoming{Incoming("2", "two")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Add = %v, want context.Canceled", err)
	}
	if _, err := store.Finish(ended, Epoch, []inbox.Outcome{forwarded(d)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Finish = %v, want context.Canceled", err)
	}
	if lost := mustFinish(t, store, Epoch, inbox.Outcome{Lease: d.Lease, State: inbox.Pending, NextAttemptTime: Epoch}); lost != 0 {
		t.Error("an outcome that failed used up the lease")
	}
	if _, err := store.Claim(ended, Epoch, lease, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Claim = %v, want context.Canceled", err)
	}
	if _, _, err := store.NextDue(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("NextDue = %v, want context.Canceled", err)
	}
	if err := store.Ping(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Ping = %v, want context.Canceled", err)
	}
	if diff := cmp.Diff([]string{"1"}, eventIDs(mustClaim(t, store, Epoch.Add(2*lease), 10))); diff != "" {
		t.Error(diff)
	}
}
