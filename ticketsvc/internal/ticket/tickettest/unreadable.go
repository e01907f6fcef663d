package tickettest

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// unreadable are the ids of two tickets whose stored data can't be used: the content of one, and the stamps of the other.
var unreadable = []string{"content", "stamps"}

// openUnreadable records an event of each unreadable ticket, replaces their stored data by the result of corrupt, and returns a store with
// them.
func openUnreadable(t *testing.T, env Env, corrupt func(ticketID string, content, stamps []byte) (newContent, newStamps []byte),
) ticket.Store {
	t.Helper()
	if env.CorruptStored == nil {
		t.Fatal("the environment has no CorruptStored")
	}
	store := env.Open(t)
	for _, id := range unreadable {
		mustRecord(t, store, titled("first of "+id, id, 1, "first"))
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, id := range unreadable {
		state := ticket.NewState(id)
		first := titled("first of "+id, id, 1, "first")
		state.Apply(&first)
		content, stamps := ticketcodec.MarshalState(state)
		content, stamps = corrupt(id, content, stamps)
		env.CorruptStored(t, id, content, stamps)
	}
	return mustOpen(t, env)
}

// testFailsAlone appends a batch with events of the unreadable tickets, which must fail with wantErr. One of them is in the batch twice:
// the repeat of an event that is not recorded is no duplicate.
func testFailsAlone(t *testing.T, store ticket.Store, wantErr error) {
	t.Helper()
	for range 2 {
		recorded, err := store.Append(t.Context(), []ticket.Change{
			titled("a", "content", 2, "x"), titled("good", "good", 2, "x"), titled("b", "stamps", 2, "x"), titled("c", "content", 2, "x"),
			titled("a", "content", 2, "x"), titled("a", "good", 2, "x"), titled("first of stamps", "stamps", 1, "first")})
		if err != nil {
			t.Fatal(err)
		}
		for i, failed := range []bool{true, false, true, true, true, true, false} {
			if failed && (!isJust(recorded[i].Err, wantErr) || recorded[i].Duplicate) || !failed && recorded[i].Err != nil {
				t.Errorf("change %d: %+v; that it failed with %v is to be %v", i, recorded[i], wantErr, failed)
			}
		}
		if !recorded[6].Duplicate {
			t.Error("an event that is in the log is recorded again")
		}
	}
	events := allEvents(t, store, "good", 10)
	if len(events) != 1 || events[0].Sequence != 3 {
		t.Errorf("events %+v, want one at position 3: failed events leave no gap", events)
	}
	for _, id := range unreadable {
		if _, _, err := store.ListEvents(t.Context(), id, 0, entries(10)); !isJust(err, wantErr) {
			t.Errorf("ListEvents of %s: %v, want %v", id, err, wantErr)
		}
	}
}

// isJust reports whether err is want, and not the other error of a ticket that can't be used.
func isJust(err, want error) bool {
	return errors.Is(err, want) && errors.Is(err, ticket.ErrCorrupt) != errors.Is(err, ticket.ErrNewerVersion)
}

func testCorrupt(t *testing.T, env Env) {
	store := openUnreadable(t, env, func(id string, content, stamps []byte) (newContent, newStamps []byte) {
		if id == "content" {
			return []byte{0xff}, stamps
		}
		return content, stamps[:2]
	})
	testFailsAlone(t, store, ticket.ErrCorrupt)
	if _, err := store.Get(t.Context(), "content", nil); !errors.Is(err, ticket.ErrCorrupt) {
		t.Errorf("Get = %v, want ErrCorrupt", err)
	}
	if _, err := store.BatchGet(t.Context(), []string{"good", "content"}, 1<<20, nil); !errors.Is(err, ticket.ErrCorrupt) {
		t.Errorf("BatchGet = %v, want ErrCorrupt", err)
	}
	if _, _, err := store.List(t.Context(), ticket.Filter{}, ticket.Order{}, nil, entries(10)); !errors.Is(err, ticket.ErrCorrupt) {
		t.Errorf("List = %v, want ErrCorrupt", err)
	}
	// A search for other words does not return the ticket. A search for its words does.
	if got, _, err := store.List(t.Context(), ticket.Filter{Text: "x"}, ticket.Order{}, nil, entries(10)); err != nil || len(got) != 1 {
		t.Errorf("List of others' words = %+v, %v", got, err)
	}
	_, _, err := store.List(t.Context(), ticket.Filter{Text: "first"}, ticket.Order{}, nil, entries(10))
	if !errors.Is(err, ticket.ErrCorrupt) {
		t.Errorf("List of its words = %v, want ErrCorrupt", err)
	}
	if _, err := store.ReadSnapshot(t.Context(), ticket.Filter{}, "", entries(10)); !errors.Is(err, ticket.ErrCorrupt) {
		t.Errorf("ReadSnapshot = %v, want ErrCorrupt", err)
	}
	// The entries of these tickets have the error. The other entries are read.
	log := mustReadEntries(t, store, 0, entries(10))
	if len(log) != 3 || log[2].Err != nil || log[2].Ticket.ID != "good" {
		t.Fatalf("the log is %+v", log)
	}
	for _, e := range log[:2] {
		if !isJust(e.Err, ticket.ErrCorrupt) || e.Ticket != nil || e.Position.Sequence == 0 {
			t.Errorf("entry %+v, want ErrCorrupt", e)
		}
	}
	mustErase(t, store, "content")
	if log := mustReadEntries(t, store, 0, entries(1)); len(log) != 1 || log[0].Err != nil || log[0].Ticket != nil {
		t.Errorf("once it is erased the entry is %+v", log)
	}
}

// testNewer has a ticket with a field that no version knows yet, and one with stamps of an unknown form. They are read without that data,
// and can't be written.
func testNewer(t *testing.T, env Env) {
	store := openUnreadable(t, env, func(id string, content, stamps []byte) (newContent, newStamps []byte) {
		if id == "content" {
			const unknown = 1000
			return protowire.AppendString(protowire.AppendTag(content, unknown, protowire.BytesType), "of a newer version"), stamps
		}
		stamps[0]++
		return content, stamps
	})
	testFailsAlone(t, store, ticket.ErrNewerVersion)
	for _, id := range unreadable {
		if got := mustGet(t, store, id); got.Title != "first" || got.Revision != 1 {
			t.Errorf("ticket %+v, want it as it was", got)
		}
	}
	if got, err := store.BatchGet(t.Context(), unreadable, 1<<20, nil); err != nil || len(got) != len(unreadable) {
		t.Errorf("BatchGet = %v, %v", got, err)
	}
	if got := listAll(t, store, ticket.Filter{}, ticket.Order{}, 10); len(got) != len(unreadable)+1 {
		t.Errorf("%d tickets in the list, want all", len(got))
	}
	for i, e := range mustReadEntries(t, store, 0, entries(10))[:2] {
		if e.Err != nil || e.Ticket == nil || e.Ticket.Title != "first" || e.Event.Outcome != 0 || !e.Event.ChangedFields.Fields.Has(titleField) {
			t.Errorf("entry %+v with ticket %+v, want what is known of it", e, e.Ticket)
		}
		got, err := store.TicketBefore(t.Context(), unreadable[i], 100, entries(10))
		if err != nil || got.Title != "first" {
			t.Errorf("TicketBefore = %+v, %v", got, err)
		}
	}
	if page, err := store.ReadSnapshot(t.Context(), ticket.Filter{}, "", entries(10)); err != nil || len(page.Tickets) != len(unreadable)+1 {
		t.Errorf("ReadSnapshot = %+v, %v", page, err)
	}
}
