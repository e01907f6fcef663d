package ticket_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func titled(eventID, ticketID string, seconds int64) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, OccurTime: tickettest.At(seconds),
		Fields: tickettest.Named("title"), Values: ticket.Ticket{Title: eventID}}
}

func eventIDs(events []*ticket.Change) []string {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.EventID)
	}
	return ids
}

func ticketIDs(states []*ticket.State) []string {
	var ids []string
	for _, state := range states {
		ids = append(ids, state.Ticket.ID)
	}
	return ids
}

func TestMergeBatch(t *testing.T) {
	t.Parallel()
	b := ticket.NewMergeBatch([]ticket.Change{
		titled("new", "t\xff", 1),
		titled("logged", "t2", 1),
		titled("new", "of a duplicate alone", 1),
		titled("failing", "bad", 1),
		titled("logged", "t2", 1),
		titled("more", "t1", 2),
		titled("failing", "bad", 1),
		titled("logged of bad", "bad", 1),
		titled("last", "t1", 1),
	})
	if diff := cmp.Diff([]string{"new", "logged", "failing", "more", "logged of bad", "last"}, b.EventIDs()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"bad", "t1", "t2", "t\xff"}, b.TicketIDs()); diff != "" {
		t.Errorf("before anything is known of the log: %s", diff)
	}
	for _, id := range []string{"logged", "logged of bad", "logged", "in no change"} {
		b.MarkLogged(id)
	}
	if diff := cmp.Diff([]string{"bad", "t1", "t\xff"}, b.TicketIDs()); diff != "" {
		t.Error(diff)
	}
	for id, want := range map[string]bool{
		"bad": true, "t1": true, "t\xff": true, "t2": false, "of a duplicate alone": false, "elsewhere": false,
	} {
		if got := b.Needs(id); got != want {
			t.Errorf("Needs(%q) = %v", id, got)
		}
	}
	kept := ticket.NewState("t1")
	before := titled("before", "t1", 3)
	kept.Apply(&before)
	b.Load("t1", kept)
	b.Load("t2", ticket.NewState("t2"))
	b.Load("elsewhere", ticket.NewState("elsewhere"))
	errBad := errors.New("bad")
	b.Fail("bad", errBad)
	b.Fail("elsewhere", errBad)

	events, states := b.Merge()
	if diff := cmp.Diff([]string{"new", "more", "last"}, eventIDs(events)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"t1", "t\xff"}, ticketIDs(states)); diff != "" {
		t.Error(diff)
	}
	if states[0] != kept || kept.Ticket.Title != "before" || kept.Ticket.Revision != 3 {
		t.Errorf("the loaded ticket is %+v, want it with what came to it", states[0].Ticket)
	}
	duplicate, failed := ticket.AppendResult{Duplicate: true}, ticket.AppendResult{Err: errBad}
	want := []ticket.AppendResult{{}, duplicate, duplicate, failed, duplicate, {}, failed, duplicate, {}}
	if diff := cmp.Diff(want, b.Results(), cmpopts.EquateErrors()); diff != "" {
		t.Error(diff)
	}
}

func TestMergeBatch_empty(t *testing.T) {
	t.Parallel()
	b := ticket.NewMergeBatch(nil)
	events, states := b.Merge()
	if n := len(b.EventIDs()) + len(b.TicketIDs()) + len(events) + len(states) + len(b.Results()); n != 0 {
		t.Errorf("%d things", n)
	}
	if id := b.FirstTicketID(); id != "" {
		t.Errorf("the first ticket is %q", id)
	}
}

// TestMergeBatch_sameAsEventByEvent checks that events in batches of any sizes, with duplicates, give the same result as one by one.
func TestMergeBatch_sameAsEventByEvent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		changes := shuffled(t, slices.Concat(tickettest.Changes(t, "t1"), inAnotherTicket(tickettest.Changes(t, "t2"))))
		want := map[string]*ticket.State{}
		seen := map[string]bool{}
		var wantLog []string
		for _, c := range changes {
			if seen[c.EventID] {
				continue
			}
			seen[c.EventID] = true
			wantLog = append(wantLog, c.EventID)
			if want[c.TicketID] == nil {
				want[c.TicketID] = ticket.NewState(c.TicketID)
			}
			want[c.TicketID].Apply(&c)
		}

		got := map[string]*ticket.State{}
		var log []string
		for batch := range slices.Chunk(changes, rapid.IntRange(1, 20).Draw(t, "batch")) {
			b := ticket.NewMergeBatch(batch)
			for _, id := range b.EventIDs() {
				if slices.Contains(log, id) {
					b.MarkLogged(id)
				}
			}
			for _, id := range b.TicketIDs() {
				if state := got[id]; state != nil {
					b.Load(id, state)
				}
			}
			events, states := b.Merge()
			effects := 0
			for _, recorded := range b.Results() {
				if !recorded.Duplicate {
					effects++
				}
			}
			if effects != len(events) {
				t.Fatalf("%d changes are no duplicates, but %d events are new", effects, len(events))
			}
			log = append(log, eventIDs(events)...)
			for _, state := range states {
				got[state.Ticket.ID] = state
			}
		}
		if diff := cmp.Diff(wantLog, log); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// inAnotherTicket makes the ids of the events differ from those of another ticket's events.
func inAnotherTicket(changes []ticket.Change) []ticket.Change {
	for i := range changes {
		changes[i].EventID += " of another ticket"
	}
	return changes
}

func TestMergeBatch_ReserveMemory_defersTickets(t *testing.T) {
	t.Parallel()
	b := ticket.NewMergeBatch([]ticket.Change{titled("e1", "z", 1), titled("e2", "a", 1), titled("e3", "b", 1), titled("e2", "a", 1),
		titled("e4", "new", 1), titled("e5", "c", 1), titled("e6", "d", 1)})
	if got := b.FirstTicketID(); got != "z" {
		t.Errorf("the first change's ticket is %q", got)
	}
	for _, test := range []struct {
		id    string
		bytes int
		want  bool
	}{
		{"c", ticket.MaxLoadedBytes - 10, true},
		{"a", 11, false},
		{"b", 10, true},
		{"d", 1, false},
		{"c", ticket.MaxLoadedBytes - 11, true}, // This replaces a larger size.
		{"b", 12, false},                        // This replaces a smaller size, does not fit, and frees all memory of the ticket.
		{"z", 2 * ticket.MaxLoadedBytes, true},
		{"elsewhere", 0, false},
	} {
		if got := b.ReserveMemory(test.id, test.bytes); got != test.want {
			t.Errorf("ReserveMemory(%q, %d) = %v", test.id, test.bytes, got)
		}
		if test.want {
			b.Load(test.id, ticket.NewState(test.id))
		}
	}
	events, states := b.Merge()
	if diff := cmp.Diff([]string{"e1", "e4", "e5"}, eventIDs(events)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"c", "new", "z"}, ticketIDs(states)); diff != "" {
		t.Error(diff)
	}
	deferred := ticket.AppendResult{Deferred: true}
	if diff := cmp.Diff([]ticket.AppendResult{{}, deferred, deferred, deferred, {}, {}, deferred}, b.Results()); diff != "" {
		t.Error(diff)
	}
}
