package inboxtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func testSettle(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	for i := range 40 {
		mustAdd(t, store, Arrival(fmt.Sprint(i), fmt.Sprint(i)))
	}
	settlements := make([]inbox.Settlement, 0, 40)
	for i, d := range mustClaim(t, store, Epoch, 100) {
		s := forwarded(d)
		if i%2 == 0 {
			s = inbox.Settlement{Lease: d.Lease, State: inbox.Dead, Reason: "hopeless", Attempts: 1}
		}
		settlements = append(settlements, s)
	}
	if lost := mustSettle(t, store, Epoch, settlements...); lost != 0 || len(settlements) != 40 {
		t.Errorf("lost %d of %d settlements", lost, len(settlements))
	}
	if claimed := mustClaim(t, store, Epoch.Add(time.Hour), 100); len(claimed) != 0 {
		t.Errorf("claimed %d settled deliveries", len(claimed))
	}
	if _, pending, err := store.NextDue(t.Context()); pending || err != nil {
		t.Errorf("NextDue: pending = %v, %v", pending, err)
	}
	if action := mustAdd(t, store, Arrival("0", "0"))[0]; action != inbox.Ignore {
		t.Errorf("a duplicate of a settled delivery: action %d, want it ignored", action)
	}
}

func testPutOff(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Arrival("1", "body"))
	d := mustClaim(t, store, Epoch, 1)[0]
	due := Epoch.Add(3 * time.Second)
	mustSettle(t, store, Epoch, inbox.Settlement{Lease: d.Lease, State: inbox.Pending, Reason: "no\x00luck", Attempts: 2, Deferrals: 5,
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
	mustAdd(t, store, Arrival("1", "body"))
	slow := mustClaim(t, former, Epoch, 1)[0]
	if claimed := mustClaim(t, store, Epoch.Add(lease-time.Nanosecond), 1); len(claimed) != 0 {
		t.Fatal("claimed while it is leased")
	}
	later := Epoch.Add(lease)
	fast := mustClaim(t, store, later, 1)
	if len(fast) != 1 {
		t.Fatal("a lease that ran out is not taken over")
	}
	dead := inbox.Settlement{Lease: slow.Lease, State: inbox.Dead, Reason: "too late"}
	if lost := mustSettle(t, former, later, dead); lost != 1 {
		t.Errorf("a settlement by who lost the lease: lost = %d, want 1", lost)
	}
	if lost := mustSettle(t, store, later, forwarded(fast[0])); lost != 0 {
		t.Errorf("a settlement by who has the lease: lost = %d, want 0", lost)
	}
	if lost := mustSettle(t, former, later, dead); lost != 1 {
		t.Errorf("a settlement after it is settled: lost = %d, want 1", lost)
	}
	if claimed := mustClaim(t, store, later.Add(time.Hour), 1); len(claimed) != 0 {
		t.Error("a forwarded delivery is pending again")
	}
}

func testLeaseIsUsedUp(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Arrival("1", "body"))
	d := mustClaim(t, store, Epoch, 1)[0]
	again := inbox.Settlement{Lease: d.Lease, State: inbox.Pending, NextAttemptTime: Epoch}
	if lost := mustSettle(t, store, Epoch, again, forwarded(d)); lost != 1 {
		t.Errorf("two settlements with one lease: lost = %d, want 1", lost)
	}
	if claimed := mustClaim(t, store, Epoch, 1); len(claimed) != 1 {
		t.Error("the first settlement, to be tried again, did not stand")
	}
}
