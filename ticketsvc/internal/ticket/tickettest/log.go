package tickettest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func allEvents(t *testing.T, store ticket.Store, ticketID string, pageSize int) []ticket.Event {
	t.Helper()
	var all []ticket.Event
	var after int64
	for {
		page, more, err := store.ListEvents(t.Context(), ticketID, after, entries(pageSize))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if !more {
			return all
		}
		after = page[len(page)-1].Sequence
	}
}

func sequences(events []ticket.Event) []int64 {
	numbers := make([]int64, len(events))
	for i, e := range events {
		numbers[i] = e.Sequence
	}
	return numbers
}

// numbers returns the numbers from first to last.
func numbers(first, last int64) []int64 {
	var all []int64
	for i := first; i <= last; i++ {
		all = append(all, i)
	}
	return all
}

// entries returns the limit of a page with this number of items, which can be as large as a page allows.
func entries(items int) ticket.PageLimit {
	return ticket.PageLimit{Items: items, Bytes: ticket.MaxPageBytes}
}

// Events returns the events of entries. It fails the test if an entry can't be read.
func Events(t testing.TB, entries []ticket.Entry) []ticket.Event {
	t.Helper()
	events := make([]ticket.Event, len(entries))
	for i, e := range entries {
		if e.Err != nil {
			t.Errorf("entry %d: %v", e.Event.Sequence, e.Err)
		}
		events[i] = e.Event
	}
	return events
}

// readLog returns all events of the log.
func readLog(t *testing.T, store ticket.Store, pageSize int) []ticket.Event {
	t.Helper()
	var all []ticket.Event
	var after int64
	for {
		read, err := store.ReadLog(t.Context(), after, entries(pageSize))
		if err != nil {
			t.Fatal(err)
		}
		page := Events(t, read)
		if len(page) == 0 {
			return all
		}
		if len(page) > pageSize || page[0].Sequence <= after {
			t.Fatalf("a page of %d events from %d on, want at most %d, after %d", len(page), page[0].Sequence, pageSize, after)
		}
		all = append(all, page...)
		after = page[len(page)-1].Sequence
	}
}

// testLog has several writers, which append batches with duplicates.
func testLog(t *testing.T, env Env) {
	open := stores(t, env, 2)
	var writers sync.WaitGroup
	for writer := range 4 {
		writers.Go(func() {
			for i := range 10 {
				event := func(n int) ticket.Change {
					return titled(fmt.Sprintf("e%d-%d", writer, i+n), fmt.Sprintf("t%d", (i+n)%2), 1, "")
				}
				if _, err := open[writer%2].Append(t.Context(), []ticket.Change{event(0), event(0), event(1)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	got := slices.Concat(sequences(allEvents(t, open[0], "t0", 3)), sequences(allEvents(t, open[1], "t1", 1000)))
	slices.Sort(got)
	if diff := cmp.Diff(numbers(1, 4*11), got); diff != "" {
		t.Error(diff)
	}
}

func testLogPages(t *testing.T, env Env) {
	store := mustOpen(t, env)
	var want []ticket.Event
	for i := range int64(7) {
		c := titled(fmt.Sprintf("e%d", 9-i), fmt.Sprintf("t\x00%d", i%3), 9-i, "")
		c.ReceiveTime = At(20)
		c.Values.Attributes = map[string]string{"read": "true", "": "null"}
		if i == 4 {
			c.Name, c.ReceiveTime, c.Fields, c.Values = ticket.Created, ticket.Instant{}, 0, ticket.Ticket{}
		}
		mustRecord(t, store, c)
		want = append(want, ticket.Event{Sequence: i + 1, EventID: c.EventID, Name: c.Name, TicketID: c.TicketID, OccurTime: c.OccurTime,
			ReceiveTime: c.ReceiveTime, ChangedFields: c.ChangedFields()})
	}
	for _, pageSize := range []int{1, 2, 6, 7, 8, 1000} {
		options := []cmp.Option{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(ticket.Event{}, "Outcome")}
		if diff := cmp.Diff(want, readLog(t, store, pageSize), options...); diff != "" {
			t.Errorf("pages of %d: %s", pageSize, diff)
		}
	}
	for _, after := range []int64{7, 8, 1 << 60} {
		if got, err := store.ReadLog(t.Context(), after, entries(10)); err != nil || len(got) != 0 {
			t.Errorf("ReadLog after %d = %v, %v; want nothing", after, got, err)
		}
	}
}

// testTail has a reader that continues after the last event it read, while others write. It must read all events, each once, in order and
// without gaps, whenever it reads.
func testTail(t *testing.T, env Env) {
	open := stores(t, env, 2)
	const writers, each = 8, 250
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var running sync.WaitGroup
	for writer := range writers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(writer), 7))
			for written := 0; written < each; {
				var batch []ticket.Change
				for range min(1+random.IntN(10), each-written) {
					batch = append(batch, titled(fmt.Sprintf("e%d-%d", writer, written), fmt.Sprintf("t%d", random.IntN(50)), 1, ""))
					written++
				}
				if _, err := open[writer%2].Append(ctx, batch); err != nil {
					t.Error(err)
					cancel()
					return
				}
			}
		})
	}
	defer running.Wait()
	seen := map[string]bool{}
	for after := int64(0); after < writers*each; {
		page, err := open[1].ReadLog(ctx, after, entries(100))
		if err != nil {
			t.Errorf("ReadLog after %d = %v", after, err)
			return
		}
		for _, e := range Events(t, page) {
			if after++; e.Sequence != after {
				t.Errorf("event %d comes where %d is due", e.Sequence, after)
				cancel()
				return
			}
			seen[e.EventID] = true
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d events were seen, want %d", len(seen), writers*each)
	}
}

func testEventPages(t *testing.T, env Env) {
	store := mustOpen(t, env)
	changes := []ticket.Change{
		{EventID: "superseded", Name: ticket.Created, TicketID: "t1", OccurTime: At(1), ReceiveTime: At(9), Fields: Named("title", "label_ids"),
			Values: ticket.Ticket{Title: "old", LabelIDs: []string{"x"}, Attributes: map[string]string{"read": "true"}}},
		{EventID: "current", Name: ticket.Updated, TicketID: "t1", OccurTime: At(3), Fields: Named("title"),
			Values: ticket.Ticket{Title: "new", Attributes: map[string]string{"title": `"\ud800"`, "read": "null"}}},
		{EventID: "late", Name: ticket.Updated, TicketID: "t1", OccurTime: At(2), Fields: Named("title", "label_ids"),
			Values: ticket.Ticket{Title: "between", Attributes: map[string]string{"title": `"\udfff"`}}},
		{EventID: "empty", Name: ticket.Updated, TicketID: "t1", OccurTime: At(4)},
	}
	mustRecord(t, store, changes...)
	want := []ticket.Event{
		{Outcome: ticket.OutcomeSuperseded},
		{Outcome: ticket.OutcomeCurrent},
		{Outcome: ticket.OutcomePartlySuperseded},
		{Outcome: ticket.OutcomeNoFields},
	}
	for i := range want {
		c := changes[i]
		want[i] = ticket.Event{Sequence: int64(i + 1), EventID: c.EventID, Name: c.Name, TicketID: c.TicketID, OccurTime: c.OccurTime,
			ReceiveTime: c.ReceiveTime, ChangedFields: c.ChangedFields(), Outcome: want[i].Outcome}
	}
	for _, pageSize := range []int{1, 2, 3, 4, 1000} {
		if diff := cmp.Diff(want, allEvents(t, store, "t1", pageSize)); diff != "" {
			t.Errorf("pages of %d: %s", pageSize, diff)
		}
	}
}
