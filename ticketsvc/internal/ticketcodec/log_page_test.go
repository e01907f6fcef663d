package ticketcodec_test

import (
	"errors"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// TestLogPage_malformedRowOfAnErasedTicket has a row whose time can't be decoded. The row is an error until its ticket is erased.
func TestLogPage_malformedRowOfAnErasedTicket(t *testing.T) {
	t.Parallel()
	for _, erased := range []bool{false, true} {
		page := ticketcodec.NewLogPage(ticket.PageLimit{Items: 10, Bytes: 1000})
		row := ticketcodec.LogRow{Event: ticket.Event{Sequence: 1, EventID: "e", TicketID: "t", Name: ticket.Updated}, OccurTime: "spoilt",
			Erased: erased}
		if !page.Add(&row) {
			t.Fatal("the page has no space for the row")
		}
		e := page.Entries()[0]
		if errors.Is(e.Err, ticket.ErrCorrupt) == erased || e.Ticket != nil {
			t.Errorf("erased %v: %+v", erased, e)
		}
	}
}
