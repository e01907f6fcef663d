// Package inboxtest holds what every [inbox.Store] must do, whatever database is behind it.
package inboxtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// Epoch is the time at which the suite's clocks begin.
var Epoch = time.Date(2026, 3, 2, 7, 15, 30, 123_456_789, time.UTC)

// lease is how long the suite's claims hold.
const lease = time.Minute

// Opener opens the store that a test uses. Called again with the same name, after the store was closed, it opens the same database.
type Opener func(t *testing.T, name string) inbox.Store

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for name, test := range map[string]func(*testing.T, Opener){
		"what is added can be claimed, whole":            testRoundTrip,
		"decisions follow the rules":                     testDecisions,
		"decisions follow the rules within a batch":      testDecisionsWithinABatch,
		"a good delivery takes a rejected one's place":   testReplace,
		"rejected deliveries are not claimed":            testRejectedAreNotClaimed,
		"an id is never given twice":                     testIDs,
		"concurrent adders keep each event once":         testConcurrentAdders,
		"concurrent claimers get each delivery once":     testConcurrentClaimers,
		"claims go by due time and limit":                testClaimOrder,
		"a settled delivery is not claimed again":        testSettle,
		"a delivery put off is claimed when it is due":   testPutOff,
		"a lease that ran out is taken over":             testLostLease,
		"a lease is good for one settlement":             testLeaseIsUsedUp,
		"next due":                                       testNextDue,
		"what was committed is there after a restart":    testReopen,
		"a context that ended changes nothing":           testEndedContext,
		"odd texts and large bodies come back unchanged": testOddContent,
		"nothing to do is no error":                      testNothing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// Arrival returns a good arrival of an event.
func Arrival(eventID, body string) inbox.Arrival {
	return inbox.Arrival{
		EventID: eventID, EventName: "ticket.created", TicketID: "ticket of " + eventID, ReceiveTime: Epoch, Body: []byte(body),
		BodyHash: sha256.Sum256([]byte(body)),
		Headers: inbox.Headers{SignatureTimestamp: "1772435730123", ContentType: "application/json", UserAgent: "sender",
			TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
}

func rejected(eventID, body string) inbox.Arrival {
	a := Arrival(eventID, body)
	a.RejectReason = "stale"
	return a
}

func mustAdd(t *testing.T, store inbox.Store, arrivals ...inbox.Arrival) []inbox.Action {
	t.Helper()
	actions, err := store.Add(t.Context(), arrivals)
	if err != nil {
		t.Fatal(err)
	}
	return actions
}

func mustClaim(t *testing.T, store inbox.Store, now time.Time, limit int) []inbox.Delivery {
	t.Helper()
	deliveries, err := store.Claim(t.Context(), now, lease, limit)
	if err != nil {
		t.Fatal(err)
	}
	return deliveries
}

func mustSettle(t *testing.T, store inbox.Store, now time.Time, settlements ...inbox.Settlement) (lost int) {
	t.Helper()
	lost, err := store.Settle(t.Context(), now, settlements)
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

func forwarded(d inbox.Delivery) inbox.Settlement {
	return inbox.Settlement{Lease: d.Lease, State: inbox.Forwarded}
}

func eventIDs(deliveries []inbox.Delivery) []string {
	ids := make([]string, len(deliveries))
	for i, d := range deliveries {
		ids[i] = d.EventID
	}
	slices.Sort(ids)
	return ids
}

func testRoundTrip(t *testing.T, open Opener) {
	store := open(t, "a")
	a := Arrival("1", "body")
	if diff := cmp.Diff([]inbox.Action{inbox.Insert}, mustAdd(t, store, a)); diff != "" {
		t.Error(diff)
	}
	claimed := mustClaim(t, store, Epoch, 10)
	if len(claimed) != 1 {
		t.Fatalf("claimed %d, want 1", len(claimed))
	}
	got := claimed[0]
	want := inbox.Delivery{ID: got.ID, EventID: "1", TicketID: "ticket of 1", ReceiveTime: Epoch, TraceParent: a.Headers.TraceParent,
		Body: []byte("body"), Lease: inbox.Lease{DeliveryID: got.ID, Token: got.Lease.Token}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := store.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func testDecisions(t *testing.T, open Opener) {
	store := open(t, "a")
	for _, step := range []struct {
		arrival inbox.Arrival
		want    inbox.Action
	}{
		{Arrival("1", "a"), inbox.Insert},
		{Arrival("1", "a"), inbox.Ignore},
		{rejected("1", "a"), inbox.Ignore},
		{Arrival("1", "b"), inbox.SetAside},
		{Arrival("1", "b"), inbox.SetAside},
		{rejected("2", "c"), inbox.Insert},
		{rejected("2", "c"), inbox.Ignore},
		{rejected("2", "d"), inbox.SetAside},
		{Arrival("2", "c"), inbox.Replace},
		{Arrival("2", "c"), inbox.Ignore},
		{rejected("", "not JSON"), inbox.Insert},
		{rejected("", "not JSON"), inbox.Ignore},
		{rejected("", "nor this"), inbox.Insert},
	} {
		if got := mustAdd(t, store, step.arrival)[0]; got != step.want {
			t.Errorf("event %q with body %q, rejected for %q: action %d, want %d", step.arrival.EventID, step.arrival.Body,
				step.arrival.RejectReason, got, step.want)
		}
	}
	if diff := cmp.Diff([]string{"1", "2"}, eventIDs(mustClaim(t, store, Epoch, 100))); diff != "" {
		t.Error(diff)
	}
}

func testDecisionsWithinABatch(t *testing.T, open Opener) {
	store := open(t, "a")
	mustAdd(t, store, Arrival("0", "zero"))
	got := mustAdd(t, store, Arrival("1", "a"), Arrival("0", "zero"), Arrival("1", "a"), Arrival("1", "b"), rejected("2", "c"),
		Arrival("2", "c"), rejected("", "x"), rejected("", "x"), Arrival("0", "other"), Arrival("3", "d"))
	want := []inbox.Action{inbox.Insert, inbox.Ignore, inbox.Ignore, inbox.SetAside, inbox.Insert, inbox.Replace, inbox.Insert, inbox.Ignore,
		inbox.SetAside, inbox.Insert}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	deliveries := mustClaim(t, store, Epoch, 100)
	if diff := cmp.Diff([]string{"0", "1", "2", "3"}, eventIDs(deliveries)); diff != "" {
		t.Error(diff)
	}
	for _, d := range deliveries {
		if want := map[string]string{"0": "zero", "1": "a", "2": "c", "3": "d"}[d.EventID]; string(d.Body) != want {
			t.Errorf("event %s has body %q, want %q", d.EventID, d.Body, want)
		}
	}
}

func testReplace(t *testing.T, open Opener) {
	store := open(t, "a")
	mustAdd(t, store, rejected("1", "stale body"))
	good := Arrival("1", "good body")
	good.ReceiveTime = Epoch.Add(time.Hour)
	mustAdd(t, store, good)
	claimed := mustClaim(t, store, good.ReceiveTime, 10)
	if len(claimed) != 1 || string(claimed[0].Body) != "good body" || !claimed[0].ReceiveTime.Equal(good.ReceiveTime) {
		t.Fatalf("claimed %+v, want the good delivery", claimed)
	}
	mustSettle(t, store, good.ReceiveTime, forwarded(claimed[0]))
	if action := mustAdd(t, store, rejected("1", "good body"))[0]; action != inbox.Ignore {
		t.Errorf("a stale copy afterwards: action %d, want it ignored", action)
	}
}

func testRejectedAreNotClaimed(t *testing.T, open Opener) {
	store := open(t, "a")
	mustAdd(t, store, rejected("1", "a"), rejected("", "b"))
	if claimed := mustClaim(t, store, Epoch.Add(time.Hour), 10); len(claimed) != 0 {
		t.Errorf("claimed %d rejected deliveries", len(claimed))
	}
	if due, pending, err := store.NextDue(t.Context()); pending || err != nil {
		t.Errorf("NextDue = %v, %v, %v; want nothing pending", due, pending, err)
	}
}

func testIDs(t *testing.T, open Opener) {
	store := open(t, "a")
	seen := map[int64]bool{}
	for i := range 10 {
		mustAdd(t, store, Arrival(fmt.Sprint(2*i), fmt.Sprint(2*i)), Arrival(fmt.Sprint(2*i+1), fmt.Sprint(2*i+1)), Arrival("0", "0"))
		for _, d := range mustClaim(t, store, Epoch, 100) {
			if seen[d.ID] {
				t.Errorf("id %d was given before", d.ID)
			}
			seen[d.ID] = true
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d ids, want 20", len(seen))
	}
}

func testConcurrentAdders(t *testing.T, open Opener) {
	const adders, events = 8, 200
	store := open(t, "a")
	var mu sync.Mutex
	inserted := 0
	var group sync.WaitGroup
	for range adders {
		group.Go(func() {
			for start := 0; start < events; start += 20 {
				batch := make([]inbox.Arrival, 0, 20)
				for i := start; i < start+20; i++ {
					batch = append(batch, Arrival(fmt.Sprint(i), fmt.Sprint("body ", i)))
				}
				actions, err := store.Add(t.Context(), batch)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, action := range actions {
					if action == inbox.Insert {
						inserted++
					}
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if claimed := mustClaim(t, store, Epoch, 2*events); inserted != events || len(claimed) != events {
		t.Errorf("%d inserted and %d claimed, want %d each", inserted, len(claimed), events)
	}
}

func testConcurrentClaimers(t *testing.T, open Opener) {
	const claimers, events = 8, 400
	store := open(t, "a")
	batch := make([]inbox.Arrival, events)
	for i := range batch {
		batch[i] = Arrival(fmt.Sprint(i), fmt.Sprint(i))
	}
	mustAdd(t, store, batch...)
	var mu sync.Mutex
	times := map[int64]int{}
	var group sync.WaitGroup
	for range claimers {
		group.Go(func() {
			for {
				claimed, err := store.Claim(t.Context(), Epoch, lease, 7)
				if err != nil {
					t.Error(err)
				}
				if len(claimed) == 0 {
					return
				}
				settlements := make([]inbox.Settlement, len(claimed))
				mu.Lock()
				for i, d := range claimed {
					times[d.ID]++
					settlements[i] = forwarded(d)
				}
				mu.Unlock()
				if lost, err := store.Settle(t.Context(), Epoch, settlements); lost != 0 || err != nil {
					t.Errorf("lost %d, %v", lost, err)
				}
			}
		})
	}
	group.Wait()
	if len(times) != events {
		t.Errorf("%d deliveries were claimed, want %d", len(times), events)
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("delivery %d was claimed %d times", id, n)
		}
	}
}

func testClaimOrder(t *testing.T, open Opener) {
	store := open(t, "a")
	for i, offset := range []time.Duration{3, 1, 2, 10} {
		a := Arrival(fmt.Sprint(i), fmt.Sprint(i))
		a.ReceiveTime = Epoch.Add(offset * time.Second)
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

func testSettle(t *testing.T, open Opener) {
	store := open(t, "a")
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

func testPutOff(t *testing.T, open Opener) {
	store := open(t, "a")
	mustAdd(t, store, Arrival("1", "body"))
	d := mustClaim(t, store, Epoch, 1)[0]
	due := Epoch.Add(3 * time.Second)
	mustSettle(t, store, Epoch, inbox.Settlement{Lease: d.Lease, State: inbox.Pending, Reason: "no luck", Attempts: 2, Deferrals: 5, NextAttemptTime: due})
	if claimed := mustClaim(t, store, due.Add(-time.Nanosecond), 1); len(claimed) != 0 {
		t.Error("claimed before it is due")
	}
	claimed := mustClaim(t, store, due, 1)
	if len(claimed) != 1 || claimed[0].Attempts != 2 || claimed[0].Deferrals != 5 {
		t.Errorf("claimed %+v, want one with its counts", claimed)
	}
}

func testLostLease(t *testing.T, open Opener) {
	store := open(t, "a")
	mustAdd(t, store, Arrival("1", "body"))
	slow := mustClaim(t, store, Epoch, 1)[0]
	if claimed := mustClaim(t, store, Epoch.Add(lease-time.Nanosecond), 1); len(claimed) != 0 {
		t.Fatal("claimed while it is leased")
	}
	later := Epoch.Add(lease)
	fast := mustClaim(t, store, later, 1)
	if len(fast) != 1 {
		t.Fatal("a lease that ran out is not taken over")
	}
	dead := inbox.Settlement{Lease: slow.Lease, State: inbox.Dead, Reason: "too late"}
	if lost := mustSettle(t, store, later, dead); lost != 1 {
		t.Errorf("a settlement by who lost the lease: lost = %d, want 1", lost)
	}
	if lost := mustSettle(t, store, later, forwarded(fast[0])); lost != 0 {
		t.Errorf("a settlement by who has the lease: lost = %d, want 0", lost)
	}
	if lost := mustSettle(t, store, later, dead); lost != 1 {
		t.Errorf("a settlement after it is settled: lost = %d, want 1", lost)
	}
	if claimed := mustClaim(t, store, later.Add(time.Hour), 1); len(claimed) != 0 {
		t.Error("a forwarded delivery is pending again")
	}
}

func testLeaseIsUsedUp(t *testing.T, open Opener) {
	store := open(t, "a")
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

func testNextDue(t *testing.T, open Opener) {
	store := open(t, "a")
	want := func(want time.Time, wantPending bool) {
		t.Helper()
		due, pending, err := store.NextDue(t.Context())
		if err != nil || pending != wantPending || !due.Equal(want) {
			t.Errorf("NextDue = %v, %v, %v; want %v, %v", due, pending, err, want, wantPending)
		}
	}
	want(time.Time{}, false)
	late := Arrival("late", "late")
	late.ReceiveTime = Epoch.Add(time.Hour)
	mustAdd(t, store, Arrival("early", "early"), late)
	want(Epoch, true)
	early := mustClaim(t, store, Epoch, 10)[0]
	want(Epoch.Add(lease), true)
	mustSettle(t, store, Epoch, forwarded(early))
	want(late.ReceiveTime, true)
}

func testReopen(t *testing.T, open Opener) {
	store := open(t, "a")
	mustAdd(t, store, Arrival("1", "one"), Arrival("2", "two"), rejected("3", "three"))
	for _, d := range mustClaim(t, store, Epoch, 10) {
		if d.EventID == "1" {
			mustSettle(t, store, Epoch, forwarded(d))
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = open(t, "a")
	// By then the lease that was held at the end has run out.
	if diff := cmp.Diff([]string{"2"}, eventIDs(mustClaim(t, store, Epoch.Add(2*lease), 10))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]inbox.Action{inbox.Ignore, inbox.Ignore, inbox.Ignore},
		mustAdd(t, store, Arrival("1", "one"), Arrival("2", "two"), rejected("3", "three"))); diff != "" {
		t.Error(diff)
	}
}

func testEndedContext(t *testing.T, open Opener) {
	store := open(t, "a")
	mustAdd(t, store, Arrival("1", "one"))
	d := mustClaim(t, store, Epoch, 1)[0]
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := store.Add(ended, []inbox.Arrival{Arrival("2", "two")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Add = %v, want context.Canceled", err)
	}
	if _, err := store.Settle(ended, Epoch, []inbox.Settlement{forwarded(d)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Settle = %v, want context.Canceled", err)
	}
	if _, err := store.Claim(ended, Epoch, lease, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Claim = %v, want context.Canceled", err)
	}
	if diff := cmp.Diff([]string{"1"}, eventIDs(mustClaim(t, store, Epoch.Add(2*lease), 10))); diff != "" {
		t.Error(diff)
	}
}

func testOddContent(t *testing.T, open Opener) {
	store := open(t, "a")
	for _, id := range []string{"quote ' and \" and ;--", "Zürich 🥶", strings.Repeat("x", 256), " ", "\x01\x1b[31m"} {
		for _, body := range []string{"\x00\xff\xfe", "", strings.Repeat("large ", 200_000)} {
			a := Arrival(id+fmt.Sprint(len(body)), body)
			a.TicketID = id
			mustAdd(t, store, a)
			claimed := mustClaim(t, store, Epoch, 10)
			if len(claimed) != 1 || claimed[0].EventID != a.EventID || claimed[0].TicketID != id || string(claimed[0].Body) != body {
				t.Errorf("event %q with a body of %d bytes did not come back as it was", a.EventID, len(body))
			}
		}
	}
}

func testNothing(t *testing.T, open Opener) {
	store := open(t, "a")
	if actions := mustAdd(t, store); len(actions) != 0 {
		t.Errorf("actions = %v", actions)
	}
	if lost := mustSettle(t, store, Epoch); lost != 0 {
		t.Errorf("lost = %d", lost)
	}
	if claimed := mustClaim(t, store, Epoch, 10); len(claimed) != 0 {
		t.Errorf("claimed %d of nothing", len(claimed))
	}
}
