package inboxtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func testClaimOrder(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	for i, offset := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second, 10 * time.Second} {
		a := Incoming(fmt.Sprint(i), fmt.Sprint(i))
		a.ReceiveTime = Epoch.Add(offset)
		mustAdd(t, store, a)
	}
	now := Epoch.Add(5 * time.Second)
	if diff := cmp.Diff([]string{"1", "2"}, eventIDs(mustClaim(t, store, now, 2))); diff != "" {
		t.Errorf("the two that are due longest: %s", diff)
	}
	if diff := cmp.Diff([]string{"0"}, eventIDs(mustClaim(t, store, now, 10))); diff != "" {
		t.Errorf("what else is due: %s", diff)
	}
	if claimed := mustClaim(t, store, now, 0); len(claimed) != 0 {
		t.Errorf("claimed %d with a limit of 0", len(claimed))
	}
}

func testUntriedFirst(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Incoming("deferred", "a"), Incoming("failed", "b"), Incoming("put back", "c"))
	for _, d := range mustClaim(t, store, Epoch, 10) {
		again := inbox.Outcome{Lease: d.Lease, State: inbox.Pending, NextAttemptTime: Epoch.Add(2 * time.Second)}
		switch d.EventID {
		case "deferred":
			again.Deferrals, again.NextAttemptTime = 1, Epoch
		case "failed":
			again.Attempts, again.NextAttemptTime = 1, Epoch.Add(time.Second)
		}
		mustFinish(t, store, Epoch, again)
	}
	fresh := Incoming("fresh", "d")
	fresh.ReceiveTime = Epoch.Add(3 * time.Second)
	mustAdd(t, store, fresh)
	now := Epoch.Add(time.Minute)
	for _, want := range []string{"put back", "fresh", "deferred", "failed"} {
		if diff := cmp.Diff([]string{want}, eventIDs(mustClaim(t, store, now, 1))); diff != "" {
			t.Error(diff)
		}
	}
}

func testLargeClaims(t *testing.T, engine Engine) {
	const size, huge = 6 << 20, 24 << 20
	store := engine.Open(t, "a")
	add := func(eventID string, size int) {
		a := Incoming(eventID, "")
		a.Body = bytes.Repeat([]byte(eventID), size)
		a.BodyHash = sha256.Sum256(a.Body)
		mustAdd(t, store, a)
	}
	add("h", huge)
	for i := range 6 {
		add(fmt.Sprint(i), size)
	}
	sizes := map[string]int{}
	for {
		claimed := mustClaim(t, store, Epoch, 100)
		if len(claimed) == 0 {
			break
		}
		total := 0
		for _, d := range claimed {
			sizes[d.EventID] = len(d.Body)
			total += len(d.Body)
		}
		if total > 2*huge || len(claimed) == 7 {
			t.Errorf("one claim has %d deliveries of %d bytes", len(claimed), total)
		}
	}
	if diff := cmp.Diff(map[string]int{"h": huge, "0": size, "1": size, "2": size, "3": size, "4": size, "5": size}, sizes); diff != "" {
		t.Error(diff)
	}
}

// testLargeClaimsGoByDueTime has deliveries; the one that was added last has been due for the longest time.
func testLargeClaimsGoByDueTime(t *testing.T, engine Engine) {
	const deliveries, size = 20, 2 << 20
	store := engine.Open(t, "a")
	for i := range deliveries {
		a := Incoming(fmt.Sprintf("%02d", i), strings.Repeat(fmt.Sprintf("%02d", i), size/2))
		a.ReceiveTime = Epoch.Add(-time.Duration(i) * time.Second)
		mustAdd(t, store, a)
	}
	claimed := eventIDs(mustClaim(t, store, Epoch, deliveries))
	if len(claimed) == deliveries || len(claimed) == 0 {
		t.Fatalf("one claim has %d of %d deliveries of %d bytes", len(claimed), deliveries, size)
	}
	var want []string
	for i := deliveries - len(claimed); i < deliveries; i++ {
		want = append(want, fmt.Sprintf("%02d", i))
	}
	if diff := cmp.Diff(want, claimed); diff != "" {
		t.Error(diff)
	}
}

func testNextDue(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	want := func(want time.Time, wantPending bool) {
		t.Helper()
		due, pending, err := store.NextDue(t.Context())
		if err != nil || pending != wantPending || !due.Equal(want) {
			t.Errorf("NextDue = %v, %v, %v; want %v, %v", due, pending, err, want, wantPending)
		}
	}
	want(time.Time{}, false)
	late := Incoming("late", "late")
	late.ReceiveTime = Epoch.Add(time.Hour)
	mustAdd(t, store, Incoming("early", "early"), late)
	want(Epoch, true)
	early := mustClaim(t, store, Epoch, 10)[0]
	want(Epoch.Add(lease), true)
	mustFinish(t, store, Epoch, forwarded(early))
	want(late.ReceiveTime, true)
	// Deliveries that were tried count as well.
	mustAdd(t, store, Incoming("again", "again"))
	again := mustClaim(t, store, Epoch, 10)[0]
	due := Epoch.Add(time.Second)
	mustFinish(t, store, Epoch, inbox.Outcome{Lease: again.Lease, State: inbox.Pending, Attempts: 1, NextAttemptTime: due})
	want(due, true)
}
