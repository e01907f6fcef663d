package inboxtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func testFinish(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	for i := range 40 {
		mustAdd(t, store, Incoming(fmt.Sprint(i), fmt.Sprint(i)))
	}
	outcomes := make([]inbox.Outcome, 0, 40)
	for i, d := range mustClaim(t, store, Epoch, 100) {
		s := forwarded(d)
		if i%2 == 0 {
			s = inbox.Outcome{Lease: d.Lease, State: inbox.Dead, Reason: "hopeless", Attempts: 1}
		}
		outcomes = append(outcomes, s)
	}
	if lost := mustFinish(t, store, Epoch, outcomes...); lost != 0 || len(outcomes) != 40 {
		t.Errorf("lost %d of %d outcomes", lost, len(outcomes))
	}
	if claimed := mustClaim(t, store, Epoch.Add(time.Hour), 100); len(claimed) != 0 {
		t.Errorf("claimed %d finished deliveries", len(claimed))
	}
	if _, pending, err := store.NextDue(t.Context()); pending || err != nil {
		t.Errorf("NextDue: pending = %v, %v", pending, err)
	}
	if action := mustAdd(t, store, Incoming("0", "0"))[0]; action != inbox.Ignore {
		t.Errorf("a duplicate of a finished delivery: action %d, want it ignored", action)
	}
}

func testRequeue(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Incoming("1", "body"))
	d := mustClaim(t, store, Epoch, 1)[0]
	due := Epoch.Add(3 * time.Second)
	mustFinish(t, store, Epoch, inbox.Outcome{Lease: d.Lease, State: inbox.Pending, Reason: "no\x00luck", Attempts: 2, Deferrals: 5,
		NextAttemptTime: due})
	if claimed := mustClaim(t, store, due.Add(-time.Nanosecond), 1); len(claimed) != 0 {
		t.Error("claimed before it is due")
	}
	claimed := mustClaim(t, store, due, 1)
	if len(claimed) != 1 || claimed[0].Attempts != 2 || claimed[0].Deferrals != 5 || claimed[0].Reason != "no\x00luck" {
		t.Errorf("claimed %+v, want one with its counts and reason", claimed)
	}
}

func testLostLease(t *testing.T, engine Engine) {
	stores := engine.several(t, 2)
	former, store := stores[0], stores[1]
	mustAdd(t, store, Incoming("1", "body"))
	slow := mustClaim(t, former, Epoch, 1)[0]
	if claimed := mustClaim(t, store, Epoch.Add(lease-time.Nanosecond), 1); len(claimed) != 0 {
		t.Fatal("claimed while it is leased")
	}
	later := Epoch.Add(lease)
	fast := mustClaim(t, store, later, 1)
	if len(fast) != 1 {
		t.Fatal("a lease that ran out is not taken over")
	}
	dead := inbox.Outcome{Lease: slow.Lease, State: inbox.Dead, Reason: "too late"}
	if lost := mustFinish(t, former, later, dead); lost != 1 {
		t.Errorf("an outcome by who lost the lease: lost = %d, want 1", lost)
	}
	if lost := mustFinish(t, store, later, forwarded(fast[0])); lost != 0 {
		t.Errorf("an outcome by who has the lease: lost = %d, want 0", lost)
	}
	if lost := mustFinish(t, former, later, dead); lost != 1 {
		t.Errorf("an outcome after it is finished: lost = %d, want 1", lost)
	}
	if claimed := mustClaim(t, store, later.Add(time.Hour), 1); len(claimed) != 0 {
		t.Error("a forwarded delivery is pending again")
	}
}

func testLeaseIsUsedUp(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Incoming("1", "body"))
	d := mustClaim(t, store, Epoch, 1)[0]
	retry := inbox.Outcome{Lease: d.Lease, State: inbox.Pending, NextAttemptTime: Epoch}
	if lost := mustFinish(t, store, Epoch, retry, forwarded(d)); lost != 1 {
		t.Errorf("two outcomes with one lease: lost = %d, want 1", lost)
	}
	if claimed := mustClaim(t, store, Epoch, 1); len(claimed) != 1 {
		t.Error("the first outcome, to be retried, did not stand")
	}
}
