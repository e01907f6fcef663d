package inboxtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func testRoundTrip(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	a := Incoming("1", "body")
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

func testDecisions(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	for _, step := range []struct {
		incoming inbox.Incoming
		want     inbox.Action
	}{
		{Incoming("1", "a"), inbox.Insert},
		{Incoming("1", "a"), inbox.Ignore},
		{rejected("1", "a"), inbox.Ignore},
		{Incoming("1", "b"), inbox.Conflict},
		{Incoming("1", "b"), inbox.Ignore},
		{rejected("2", "c"), inbox.Insert},
		{rejected("2", "c"), inbox.Ignore},
		{rejected("2", "d"), inbox.Conflict},
		{rejected("2", "d"), inbox.Ignore},
		{Incoming("2", "c"), inbox.Replace},
		{Incoming("2", "c"), inbox.Ignore},
		{rejected("", "not JSON"), inbox.Insert},
		{rejected("", "not JSON"), inbox.Ignore},
		{rejected("", "nor this"), inbox.Insert},
	} {
		if got := mustAdd(t, store, step.incoming)[0]; got != step.want {
			t.Errorf("event %q with body %q, rejected for %q: action %d, want %d", step.incoming.EventID, step.incoming.Body,
				step.incoming.RejectReason, got, step.want)
		}
	}
	if diff := cmp.Diff([]string{"1", "2"}, eventIDs(mustClaim(t, store, Epoch, 100))); diff != "" {
		t.Error(diff)
	}
}

func testDecisionsWithinABatch(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Incoming("0", "zero"))
	got := mustAdd(t, store, Incoming("1", "a"), Incoming("0", "zero"), Incoming("1", "a"), Incoming("1", "b"), rejected("2", "c"),
		Incoming("2", "c"), rejected("", "x"), rejected("", "x"), Incoming("0", "other"), Incoming("3", "d"))
	want := []inbox.Action{inbox.Insert, inbox.Ignore, inbox.Ignore, inbox.Conflict, inbox.Insert, inbox.Replace, inbox.Insert, inbox.Ignore,
		inbox.Conflict, inbox.Insert}
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

// testBatches gives one database batches, and another one the same deliveries one by one.
func testBatches(t *testing.T, engine Engine) {
	together, single := engine.Open(t, "a"), engine.Open(t, "b")
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		batch := make([]inbox.Incoming, 1+random.IntN(12))
		want := make([]inbox.Action, len(batch))
		for i := range batch {
			event := fmt.Sprint(random.IntN(12))
			body := fmt.Sprintf("body %d of %s", random.IntN(3), event)
			if batch[i] = Incoming(event, body); random.IntN(2) == 0 {
				batch[i] = rejected(event, body)
			}
			want[i] = mustAdd(t, single, batch[i])[0]
		}
		if diff := cmp.Diff(want, mustAdd(t, together, batch...)); diff != "" {
			t.Fatal(diff)
		}
		finished := [2]map[string]string{{}, {}}
		for i, store := range []inbox.Store{together, single} {
			for _, d := range mustClaim(t, store, Epoch, 100) {
				finished[i][d.EventID] = string(d.Body)
				mustFinish(t, store, Epoch, forwarded(d))
			}
		}
		if diff := cmp.Diff(finished[1], finished[0]); diff != "" {
			t.Fatal(diff)
		}
	}
	if diff := cmp.Diff(engine.States(t, "b"), engine.States(t, "a")); diff != "" {
		t.Error(diff)
	}
}

func testReplace(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, rejected("1", "stale body"))
	good := Incoming("1", "good body")
	good.ReceiveTime = Epoch.Add(time.Hour)
	mustAdd(t, store, good)
	claimed := mustClaim(t, store, good.ReceiveTime, 10)
	if len(claimed) != 1 || string(claimed[0].Body) != "good body" || !claimed[0].ReceiveTime.Equal(good.ReceiveTime) {
		t.Fatalf("claimed %+v, want the good delivery", claimed)
	}
	mustFinish(t, store, good.ReceiveTime, forwarded(claimed[0]))
	if action := mustAdd(t, store, rejected("1", "good body"))[0]; action != inbox.Ignore {
		t.Errorf("a stale copy afterwards: action %d, want it ignored", action)
	}
}

func testReplaceBySameBodyAsConflict(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	stale, other, good := rejected("e", "one"), rejected("e", "two"), Incoming("e", "two")
	mustAdd(t, store, stale, other)
	wantStates(t, engine, map[inbox.State]int{inbox.Rejected: 2})
	mustAdd(t, store, good)
	wantStates(t, engine, map[inbox.State]int{inbox.Pending: 1})
	stale, other, good = rejected("f", "three"), rejected("f", "four"), Incoming("f", "four")
	mustAdd(t, store, stale, other, good)
	wantStates(t, engine, map[inbox.State]int{inbox.Pending: 2})
}

func wantStates(t *testing.T, engine Engine, want map[inbox.State]int) {
	t.Helper()
	if diff := cmp.Diff(want, engine.States(t, "a")); diff != "" {
		t.Error(diff)
	}
}

func testRejectedAreNotClaimed(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, rejected("1", "a"), rejected("", "b"))
	if claimed := mustClaim(t, store, Epoch.Add(time.Hour), 10); len(claimed) != 0 {
		t.Errorf("claimed %d rejected deliveries", len(claimed))
	}
	if due, pending, err := store.NextDue(t.Context()); pending || err != nil {
		t.Errorf("NextDue = %v, %v, %v; want nothing pending", due, pending, err)
	}
}

func testIDsAreNeverReused(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	seen := map[int64]bool{}
	for i := range 10 {
		mustAdd(t, store, Incoming(fmt.Sprint(2*i), fmt.Sprint(2*i)), Incoming(fmt.Sprint(2*i+1), fmt.Sprint(2*i+1)), Incoming("0", "0"))
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

func testOddContent(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	for _, id := range []string{"quote ' and \" and ;--", "Zürich 🥶", strings.Repeat("x", 256), " ", "\x01\x1b[31m", "\x00 \x00\x01",
		"\x01\x00 \x02"} {
		for _, body := range []string{"\x00\xff\xfe", "", strings.Repeat("large ", 200_000)} {
			a := Incoming(id+fmt.Sprint(len(body)), body)
			a.EventName, a.TicketID = id, id
			a.Headers = inbox.Headers{SignatureTimestamp: id, ContentType: id, UserAgent: id, TraceParent: id}
			mustAdd(t, store, a)
			claimed := mustClaim(t, store, Epoch, 10)
			if len(claimed) != 1 || claimed[0].EventID != a.EventID || claimed[0].TicketID != id ||
				claimed[0].TraceParent != id || string(claimed[0].Body) != body {
				t.Errorf("event %q with a body of %d bytes did not come back as it was", a.EventID, len(body))
			}
			if action := mustAdd(t, store, a)[0]; action != inbox.Ignore {
				t.Errorf("event %q again: action %d, want it ignored", a.EventID, action)
			}
		}
	}
}

func testNothing(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	if actions := mustAdd(t, store); len(actions) != 0 {
		t.Errorf("actions = %v", actions)
	}
	if lost := mustFinish(t, store, Epoch); lost != 0 {
		t.Errorf("lost = %d", lost)
	}
	if claimed := mustClaim(t, store, Epoch, 10); len(claimed) != 0 {
		t.Errorf("claimed %d of nothing", len(claimed))
	}
}
