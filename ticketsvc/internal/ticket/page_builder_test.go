package ticket_test

import (
	"fmt"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestPageBuilder_endsAtItsLimits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limit    int
		sizes    []int
		want     int
		wantMore bool
	}{
		"none":                   {5, nil, 0, false},
		"fewer than the limit":   {5, []int{1, 1}, 2, false},
		"as many as the limit":   {2, []int{1, 1}, 2, false},
		"more than the limit":    {2, []int{1, 1, 1}, 2, true},
		"as large as may be":     {5, []int{ticket.MaxPageBytes - 1, 1}, 2, false},
		"too large together":     {5, []int{ticket.MaxPageBytes - 1, 2}, 1, true},
		"one that is too large":  {5, []int{ticket.MaxPageBytes + 1}, 1, false},
		"one, and another":       {5, []int{ticket.MaxPageBytes + 1, 0}, 1, true},
		"a small one behind one": {5, []int{1, ticket.MaxPageBytes, 1}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := ticket.NewPageBuilder(ticket.PageLimit{Items: test.limit, Bytes: ticket.MaxPageBytes})
			for i, size := range test.sizes {
				if fits, err := page.Fits("", ticket.Weight{Bytes: size}); err != nil || !fits {
					break
				}
				if page.RowLimit() != test.limit-i+1 {
					t.Errorf("a limit of %d rows after %d tickets of at most %d", page.RowLimit(), i, test.limit)
				}
				page.Add(ticket.Ticket{ID: fmt.Sprint(i)})
			}
			if got := page.Tickets(); len(got) != test.want || page.More() != test.wantMore {
				t.Errorf("%d tickets, more %v; want %d, %v", len(got), page.More(), test.want, test.wantMore)
			}
		})
	}
}
