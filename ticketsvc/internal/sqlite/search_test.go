package sqlite_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// TestStore_List_wordsOfAllButTheFirstTickets has so many tickets with the words that the index of the list's order is used.
func TestStore_List_wordsOfAllButTheFirstTickets(t *testing.T) {
	t.Parallel()
	store := mustOpen(t, filepath.Join(t.TempDir(), "tickets.db"))
	t.Cleanup(func() { _ = store.Close() })
	store.SetMaxSorted(100)
	const tickets, older = 400, 300
	changes := make([]ticket.Change, tickets)
	for i := range changes {
		title := "all"
		if i < older {
			title = "all older"
		}
		changes[i] = ticket.Change{EventID: fmt.Sprintf("e%d", i), Name: ticket.Created, TicketID: fmt.Sprintf("t%03d", i),
			OccurTime: tickettest.At(int64(i)), Fields: tickettest.Named("title", "assignee_id"),
			Values: ticket.Ticket{Title: title, AssigneeID: fmt.Sprintf("u%d", i%3)}}
	}
	if _, err := store.Append(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	for _, filter := range []ticket.Filter{{Text: "older"}, {Text: "older", AssigneeID: "u1"}} {
		next := older - 1
		var after *ticket.Cursor
		for more := true; more; {
			var page []ticket.Ticket
			var err error
			order := ticket.Order{Descending: true}
			if page, more, err = store.List(t.Context(), filter, order, after, ticket.PageLimit{Items: 40, Bytes: ticket.MaxPageBytes}); err != nil {
				t.Fatal(err)
			}
			for i := range page {
				for !filter.Matches(&changes[next].Values) {
					next--
				}
				if want := changes[next].TicketID; page[i].ID != want {
					t.Fatalf("filter %+v: ticket %s, want %s", filter, page[i].ID, want)
				}
				next--
				cursor := order.Cursor(&page[i])
				after = &cursor
			}
		}
		if next > 1 {
			t.Errorf("filter %+v: the list ends before ticket %d", filter, next)
		}
	}
}

// TestStore_ReadSnapshot_wordsEndAtTheirBytes has tickets that are together larger than a part of a snapshot reads.
func TestStore_ReadSnapshot_wordsEndAtTheirBytes(t *testing.T) {
	t.Parallel()
	store := mustOpen(t, filepath.Join(t.TempDir(), "tickets.db"))
	t.Cleanup(func() { _ = store.Close() })
	changes := make([]ticket.Change, 100)
	for i := range changes {
		changes[i] = ticket.Change{EventID: fmt.Sprintf("e%d", i), Name: ticket.Created, TicketID: fmt.Sprintf("t%03d", i),
			OccurTime: tickettest.At(1), Fields: tickettest.Named("title", "description"),
			Values: ticket.Ticket{Title: fmt.Sprintf("word%d", i), Description: strings.Repeat("x", 128<<10)}}
	}
	if _, err := store.Append(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	var found []string
	parts := 0
	for after := ""; parts == 0 || after != ""; parts++ {
		page, err := store.ReadSnapshot(t.Context(), ticket.Filter{Text: "word9"}, after,
			ticket.PageLimit{Items: 1000, Bytes: ticket.MaxPageBytes})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.Tickets {
			found = append(found, one.ID)
		}
		after = page.Last
	}
	if want := []string{"t009", "t090", "t091", "t092", "t093", "t094", "t095", "t096", "t097", "t098", "t099"}; !slices.Equal(found, want) {
		t.Errorf("the snapshot found %v, want %v", found, want)
	}
	if parts < 3 || parts > 5 {
		t.Errorf("the snapshot has %d parts for 12.5 MiB, of 4 MiB each", parts)
	}
}

// FuzzText gives a ticket a title and searches for it with a text. The store must find what [ticket.Filter.Matches] selects, for any text.
func FuzzText(f *testing.F) {
	store, err := sqlite.Open(f.Context(), filepath.Join(f.TempDir(), "tickets.db"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	for i, text := range tickettest.NastyTexts {
		f.Add(text+"x", text)
		f.Add(tickettest.NastyTexts[(i+1)%len(tickettest.NastyTexts)], text)
	}
	events := 0
	f.Fuzz(func(t *testing.T, title, text string) {
		// Messages of the contract hold nothing else.
		title, text = strings.ToValidUTF8(title, "\ufffd"), strings.ToValidUTF8(text, "\ufffd")
		events++
		c := ticket.Change{EventID: fmt.Sprintf("e%d", events), Name: ticket.Updated, TicketID: "t", OccurTime: tickettest.At(int64(events)),
			Fields: tickettest.Named("title"), Values: ticket.Ticket{Title: title}}
		recorded, err := store.Append(t.Context(), []ticket.Change{c})
		if err != nil || recorded[0] != (ticket.AppendResult{LogEnd: recorded[0].LogEnd}) {
			t.Fatal(recorded, err)
		}
		filter := ticket.Filter{Text: text}
		var violations ticket.Violations
		if filter.Check("filter", &violations); len(violations) > 0 {
			return
		}
		want := filter.Matches(&c.Values)
		normal := filter.Normal()
		if normal.Matches(&c.Values) != want {
			t.Errorf("text %q matches %q: %v, but not in its normal form %q", text, title, want, normal.Text)
		}
		found, _, err := store.List(t.Context(), normal, ticket.Order{}, nil, ticket.PageLimit{Items: 10, Bytes: ticket.MaxPageBytes})
		if err != nil || (len(found) == 1) != want {
			t.Errorf("text %q finds %d of title %q, %v; that it matches is %v", text, len(found), title, err, want)
		}
	})
}
