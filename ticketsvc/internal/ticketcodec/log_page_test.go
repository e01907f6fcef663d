package ticketcodec_test

import (
	"errors"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// TestErasingMendsALogThatCannotBeRead has a row whose time can't be decoded. After its ticket is erased, the content of the row is gone,
// and the time is still there.
func TestErasingMendsALogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, erased := range []bool{false, true} {
		page := ticketcodec.NewLogPage(ticket.PageLimit{Items: 10, Bytes: 1000})
		row := ticketcodec.LogRow{Event: ticket.Event{Sequence: 1, EventID: "e", TicketID: "t", Name: ticket.Updated}, OccurTime: "spoilt",
			Erased: erased}
		if !page.Add(&row) {
			t.Fatal("there is no room")
		}
		e := page.Entries()[0]
		if errors.Is(e.Err, ticket.ErrCorrupt) == erased || e.Ticket != nil {
			t.Errorf("erased %v: %+v", erased, e)
		}
	}
}
