package tickettest

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// testLargestTicket has events of which each fits alone, but not all together.
func testLargestTicket(t *testing.T, env Env) {
	store := mustOpen(t, env)
	const size = ticket.MaxBytes * 2 / 3
	described := func(eventID string, seconds int64, size int) ticket.Change {
		return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: "t", OccurTime: At(seconds), Fields: Named("description"),
			Values: ticket.Ticket{Description: strings.Repeat("d", size)}}
	}
	large := titled("title", "t", 1, strings.Repeat("t", size))
	mustRecord(t, store, described("description", 1, size))

	// The ticket would be too large, so nothing of the event is recorded. The other tickets of the batch, and a smaller event, are recorded.
	recorded, err := store.Append(t.Context(), []ticket.Change{large, titled("other", "other", 1, "other"), large,
		titled("small", "t", 2, "small"), described("description", 1, size)})
	if err != nil {
		t.Fatal(err)
	}
	want := []ticket.AppendResult{{Err: ticket.ErrTicketTooLarge}, {}, {Err: ticket.ErrTicketTooLarge}, {}, {Duplicate: true}}
	if diff := cmp.Diff(want, recorded, ignoreLogEnd, cmpopts.EquateErrors()); diff != "" {
		t.Fatal(diff)
	}
	if got := mustGet(t, store, "t"); got.Title != "small" || len(got.Description) != size || got.Revision != 2 {
		t.Errorf("title %.10q, a description of %d bytes, revision %d", got.Title, len(got.Description), got.Revision)
	}

	// There is no ticket if none of its events fits.
	huge := titled("huge", "huge", 1, strings.Repeat("x", ticket.MaxBytes+1))
	if recorded, err = store.Append(t.Context(), []ticket.Change{huge}); err != nil || !errors.Is(recorded[0].Err, ticket.ErrTicketTooLarge) {
		t.Errorf("%v, %v; want ErrTicketTooLarge", recorded[0].Err, err)
	}
	if _, err := store.Get(t.Context(), "huge", nil); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}

	// The event fits after another event has made the ticket smaller.
	mustRecord(t, store, described("shorter", 2, 1))
	large.OccurTime = At(3)
	mustRecord(t, store, large)
	if got := mustGet(t, store, "t"); got.Title != large.Values.Title || got.Description != "d" || got.Revision != 4 {
		t.Errorf("a title of %d bytes, description %.10q, revision %d", len(got.Title), got.Description, got.Revision)
	}
}
