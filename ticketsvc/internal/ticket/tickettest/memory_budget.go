package tickettest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// testMemoryBudget has memory for some tickets, and none for another.
func testMemoryBudget(t *testing.T, env Env) {
	store := mustOpen(t, env)
	mustRecord(t, store, titled("e1", "a", 1, "one"), titled("e2", "b", 2, "two"), titled("e3", "c", 3, "three"))
	errFull := errors.New("full")
	var asked []string
	budget := func(ticketID string, w ticket.Weight) error {
		if asked = append(asked, ticketID); w.Bytes == 0 {
			t.Errorf("memory for nothing of %q is asked for", ticketID)
		}
		if ticketID == "b" {
			return errFull
		}
		return nil
	}
	expectAsked := func(call string, want ...string) {
		t.Helper()
		slices.Sort(asked)
		if !slices.Equal(asked, want) {
			t.Errorf("%s asks for memory for %q, want %q", call, asked, want)
		}
		asked = nil
	}
	isFull := func(err error) bool { return errors.Is(err, ticket.ErrNoMemory) && errors.Is(err, errFull) }
	if _, err := store.Get(t.Context(), "a", budget); err != nil {
		t.Error(err)
	}
	if _, err := store.Get(t.Context(), "b", budget); !isFull(err) {
		t.Errorf("Get: %v, want ErrNoMemory", err)
	}
	expectAsked("Get", "a", "b")
	if _, err := store.BatchGet(t.Context(), []string{"a", "b", "c"}, 1<<20, budget); !isFull(err) {
		t.Errorf("BatchGet: %v, want ErrNoMemory", err)
	}
	expectAsked("BatchGet", "a", "b", "c")
	limit := entries(10)
	limit.Budget = budget
	order := ticket.Order{}
	page, more, err := store.List(t.Context(), ticket.Filter{}, order, nil, limit)
	if err != nil || len(page) != 1 || !more {
		t.Fatalf("List: %d tickets, more %v, %v; want the first", len(page), more, err)
	}
	expectAsked("List", "a", "b")
	after := order.Cursor(&page[0])
	if _, _, err := store.List(t.Context(), ticket.Filter{}, order, &after, limit); !isFull(err) {
		t.Errorf("List of the next: %v, want ErrNoMemory", err)
	}
	expectAsked("List of the next", "b")
	if _, _, err := store.ListEvents(t.Context(), "b", 0, limit); !isFull(err) {
		t.Errorf("ListEvents: %v, want ErrNoMemory", err)
	}
	expectAsked("ListEvents", "b")
	log, err := store.ReadLog(t.Context(), 0, limit)
	if err != nil || len(log) != 3 || log[0].Err != nil || !isFull(log[1].Err) || log[2].Ticket == nil || log[1].Position.Sequence != 2 {
		t.Errorf("ReadLog: %+v, %v; want ErrNoMemory of the second alone", log, err)
	}
}

// testLargeEventPages has events with small values and long names.
func testLargeEventPages(t *testing.T, env Env) {
	store := mustOpen(t, env)
	const events, keys = 5, 1000
	attributes := map[string]string{}
	for i := range keys {
		attributes[fmt.Sprintf("%0200d", i)] = ""
	}
	for i := range events {
		c := titled(fmt.Sprint("e", i), "t", int64(i), strings.Repeat("x", i))
		c.Values.Attributes = attributes
		mustRecord(t, store, c)
	}
	for _, test := range []struct {
		limit ticket.PageLimit
		want  int
	}{
		{ticket.PageLimit{Items: 3, Bytes: 10_000_000}, 3},
		{ticket.PageLimit{Items: 10, Bytes: 450_000}, 2},
		{ticket.PageLimit{Items: 10, Bytes: 1}, 1},
	} {
		sequence := int64(0)
		for seen := 0; seen < events; {
			page, more, err := store.ListEvents(t.Context(), "t", sequence, test.limit)
			want := min(test.want, events-seen)
			if err != nil || len(page) != want || more != (seen+want < events) {
				t.Fatalf("%+v after %d: %d events, more %v, %v; want %d", test.limit, seen, len(page), more, err, want)
			}
			for _, e := range page {
				if e.EventID != fmt.Sprint("e", seen) || len(e.ChangedFields.AttributeKeys) != keys {
					t.Errorf("event %d is %s with %d attributes", seen, e.EventID, len(e.ChangedFields.AttributeKeys))
				}
				seen++
			}
			sequence = page[len(page)-1].Sequence
		}
	}
}
