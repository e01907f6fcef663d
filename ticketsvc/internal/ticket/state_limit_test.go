package ticket_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// TestState_TryApply_ticketTooLarge has changes of a ticket that an older version allowed to become too large.
func TestState_TryApply_ticketTooLarge(t *testing.T) {
	t.Parallel()
	described := func(eventID string, seconds int64, size int) *ticket.Change {
		return &ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: "t", OccurTime: tickettest.At(seconds),
			Fields: tickettest.Named("description"), Values: ticket.Ticket{Description: strings.Repeat("d", size)}}
	}
	state := ticket.NewState("t")
	state.Apply(described("a", 1, ticket.MaxBytes+1000))
	for i, test := range []struct {
		size int
		want error
	}{
		{ticket.MaxBytes + 1001, ticket.ErrTicketTooLarge}, {ticket.MaxBytes + 1000, nil}, {ticket.MaxBytes + 10, nil},
		{ticket.MaxBytes + 11, ticket.ErrTicketTooLarge},
	} {
		if err := state.TryApply(described("b", int64(2+i), test.size)); !errors.Is(err, test.want) {
			t.Errorf("%d bytes more than fit: %v, want %v", test.size-ticket.MaxBytes, err, test.want)
		}
	}
}
