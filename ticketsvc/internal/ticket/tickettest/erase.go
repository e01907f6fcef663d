package tickettest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func mustErase(t *testing.T, store ticket.Store, id string) int64 {
	t.Helper()
	events, err := store.Erase(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// wantErased checks that the store returns nothing of the ticket except the ids of its events.
func wantErased(t *testing.T, store ticket.Store, id string, eventIDs ...string) {
	t.Helper()
	if _, err := store.Get(t.Context(), id, nil); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("Get of an erased ticket: %v, want ErrNotFound", err)
	}
	if got, err := store.BatchGet(t.Context(), []string{id}, 1<<20, nil); err != nil || len(got) != 0 {
		t.Errorf("BatchGet of an erased ticket: %v, %v", got, err)
	}
	for _, order := range orders {
		for _, listed := range listAll(t, store, ticket.Filter{}, order, 10) {
			if listed.ID == id {
				t.Errorf("order %+v lists an erased ticket", order)
			}
		}
	}
	var got []string
	for _, e := range allEvents(t, store, id, 10) {
		got = append(got, e.EventID)
		if e.Outcome != ticket.OutcomeErased || len(e.ChangedFields.FieldNames()) != 0 {
			t.Errorf("event %s of an erased ticket: %+v", e.EventID, e)
		}
	}
	if diff := cmp.Diff(eventIDs, got); diff != "" {
		t.Error(diff)
	}
}

func testErase(t *testing.T, env Env) {
	store := mustOpen(t, env)
	first, other := titled("e1", "t1", 1, "personal"), titled("e2", "t2", 2, "of another ticket")
	first.Values.Attributes = map[string]string{"phone": `"+41"`}
	mustRecord(t, store, first, other, titled("e3", "t1", 3, "also personal"))
	if events := mustErase(t, store, "t1"); events != 2 {
		t.Errorf("%d events lost what they said, want 2", events)
	}
	wantErased(t, store, "t1", "e1", "e3")
	if diff := cmp.Diff(merged(other), mustGet(t, store, "t2")); diff != "" {
		t.Error(diff)
	}
	if events := mustErase(t, store, "t1"); events != 0 {
		t.Errorf("erased again: %d events, want 0", events)
	}
	// A late event, twice, and an event that was recorded before.
	late := titled("late", "t1", 9, "back again")
	recorded, err := store.Append(t.Context(), []ticket.Change{late, late, first, titled("e4", "t2", 4, "x")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ticket.AppendResult{{Erased: true}, {Erased: true}, {Duplicate: true}, {}}, recorded, ignoreLogEnd); diff != "" {
		t.Error(diff)
	}
	wantErased(t, store, "t1", "e1", "e3")
	log := mustReadLog(t, store, 3)
	if len(log) != 2 || log[0].Name != ticket.Erased || log[0].TicketID != "t1" || log[0].EventID != "" || log[0].Sequence != 4 ||
		log[1].EventID != "e4" || log[1].Sequence != 5 {
		t.Errorf("the log goes on with %+v, want one erasure and then e4", log)
	}
}

// testErasedUnreadable has a ticket with an event whose stored time can't be read. The erasure leaves the time as it is.
func testErasedUnreadable(t *testing.T, env Env) {
	store := env.Open(t)
	mustRecord(t, store, titled("e1", "t1", 1, "x"), titled("e2", "t1", 2, "y"))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	env.CorruptTime(t, "t1", "spoilt")
	store = mustOpen(t, env)
	if _, _, err := store.ListEvents(t.Context(), "t1", 0, entries(10)); !isJust(err, ticket.ErrCorrupt) {
		t.Errorf("ListEvents = %v, want ErrCorrupt", err)
	}
	mustErase(t, store, "t1")
	wantErased(t, store, "t1", "e1", "e2")
	for _, e := range allEvents(t, store, "t1", 10) {
		if e.OccurTime.Set || e.ReceiveTime.Set {
			t.Errorf("event %+v has a time", e)
		}
	}
}

func testEraseAhead(t *testing.T, env Env) {
	store := mustOpen(t, env)
	if events := mustErase(t, store, "t1"); events != 0 {
		t.Errorf("%d events, want 0", events)
	}
	recorded, err := store.Append(t.Context(), []ticket.Change{titled("e1", "t1", 1, "x")})
	if err != nil || len(recorded) != 1 || !recorded[0].Erased {
		t.Errorf("its first event: %+v, %v; want it dropped", recorded, err)
	}
	wantErased(t, store, "t1")
}

// testEraseAmongWriters erases tickets while others write them. In the end the tickets are erased, whatever the order.
func testEraseAmongWriters(t *testing.T, env Env) {
	const writers, rounds, tickets = 4, 40, 8
	all := stores(t, env, writers+1)
	var running sync.WaitGroup
	for writer := range writers {
		running.Go(func() {
			for round := range rounds {
				var batch []ticket.Change
				for i := range tickets {
					id := (i*(writer+1) + round) % tickets
					batch = append(batch, titled(fmt.Sprintf("e%d-%d-%d", writer, round, i), fmt.Sprintf("t%d", id), int64(round), "personal"))
				}
				if _, err := all[writer].Append(t.Context(), batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Go(func() {
		for i := range tickets / 2 {
			if _, err := all[writers].Erase(t.Context(), fmt.Sprintf("t%d", i)); err != nil {
				t.Error(err)
			}
		}
	})
	running.Wait()
	store := all[0]
	for i := range tickets {
		_, err := store.Get(t.Context(), fmt.Sprintf("t%d", i), nil)
		if erased := i < tickets/2; erased != errors.Is(err, ticket.ErrNotFound) {
			t.Errorf("ticket %d: %v", i, err)
		}
	}
	last := int64(0)
	for {
		log := mustReadLog(t, store, last)
		if len(log) == 0 {
			break
		}
		for _, e := range log {
			if e.Sequence != last+1 {
				t.Fatalf("after %d comes %d", last, e.Sequence)
			}
			last = e.Sequence
		}
	}
}

func testEraseSeveral(t *testing.T, env Env) {
	store := mustOpen(t, env)
	mustRecord(t, store, titled("e1", "t1", 1, "personal"), titled("e2", "t2", 2, "personal"), titled("e3", "t3", 3, "kept"))
	mustErase(t, store, "t2")
	events, err := store.Erase(t.Context(), "t1", "t2", "ahead", "t1")
	if err != nil || events != 1 {
		t.Errorf("Erase = %d, %v; want the event of t1 alone", events, err)
	}
	wantErased(t, store, "t1", "e1")
	wantErased(t, store, "t2", "e2")
	wantErased(t, store, "ahead")
	if got := mustGet(t, store, "t3").Title; got != "kept" {
		t.Errorf("another ticket has the title %q", got)
	}
	limit := ticket.PageLimit{Items: 10, Bytes: 1 << 20}
	found, _, err := store.List(t.Context(), ticket.Filter{Text: "personal"}, ticket.Order{}, nil, limit)
	if err != nil || len(found) != 0 {
		t.Errorf("List by their words = %v, %v; want none", found, err)
	}
	stats, err := store.Stats(t.Context(), ticket.Filter{})
	if err != nil || stats.Total != 1 {
		t.Errorf("Stats = %+v, %v; want one ticket", stats, err)
	}
	if diff := cmp.Diff([]string{"t2", "t1", "ahead"}, erasedIDs(t, store, 10)); diff != "" {
		t.Errorf("erasures: want (-), got (+):\n%s", diff)
	}
}

// erasedIDs returns the ids of all erasures. It reads them in pages.
func erasedIDs(t *testing.T, store ticket.Store, pageSize int) (ids []string) {
	t.Helper()
	var after ticket.LogPosition
	for {
		page, err := store.ListErasures(t.Context(), after, pageSize)
		if err != nil || len(page) > pageSize {
			t.Fatalf("ListErasures = %v, %v; want at most %d", page, err, pageSize)
		}
		if len(page) == 0 {
			return ids
		}
		for _, e := range page {
			ids = append(ids, e.TicketID)
		}
		after = page[len(page)-1].Position
	}
}

func testErasures(t *testing.T, env Env) {
	store := mustOpen(t, env)
	if got, err := store.ListErasures(t.Context(), ticket.LogPosition{}, 10); err != nil || len(got) != 0 {
		t.Errorf("ListErasures of an empty store = %v, %v", got, err)
	}
	// PostgreSQL can't store one of the ids as a string.
	want := []string{"t1", "odd\x00id\\", "t2", "ahead", "t3"}
	for i, id := range want {
		if id != "ahead" {
			mustRecord(t, store, titled(fmt.Sprintf("e%d", i), id, int64(i), "x"))
		}
		mustErase(t, store, id)
		mustErase(t, store, id)
		mustRecord(t, store, titled(fmt.Sprintf("between%d", i), "kept", int64(i), "x"))
	}
	for _, pageSize := range []int{1, 2, 100} {
		if diff := cmp.Diff(want, erasedIDs(t, store, pageSize)); diff != "" {
			t.Errorf("in pages of %d: want (-), got (+):\n%s", pageSize, diff)
		}
	}
	all, err := store.ListErasures(t.Context(), ticket.LogPosition{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1].Position
	if position, err := store.PositionAt(t.Context(), last.Sequence); err != nil || position != last {
		t.Errorf("PositionAt = %v, %v; want the erasure's %v", position, err, last)
	}
	end, err := store.LastPosition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := last
	other.Fingerprint[0]++
	for name, position := range map[string]ticket.LogPosition{"another fingerprint": other, "an event's position": end,
		"a position after the end": {Sequence: end.Sequence + 1}} {
		if got, err := store.ListErasures(t.Context(), position, 10); !errors.Is(err, ticket.ErrPositionNotFound) {
			t.Errorf("ListErasures after %s = %v, %v; want ErrPositionNotFound", name, got, err)
		}
	}
}

// testReceiptKey has two databases. One is opened twice.
func testReceiptKey(t *testing.T, env, other Env) {
	store := env.Open(t)
	key := store.ReceiptKey()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	receipt := key.Receipt("t1")
	if key := mustOpen(t, env).ReceiptKey(); !key.Verify("t1", receipt) || key.Verify("t2", receipt) || key.Verify("t1", nil) {
		t.Error("the database does not know the receipt of its erasure, or takes it for another one's")
	}
	if mustOpen(t, other).ReceiptKey().Verify("t1", receipt) || (ticket.ReceiptKey{}).Verify("t1", receipt) {
		t.Error("another database takes the receipt")
	}
}
