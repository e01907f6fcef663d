package ticket_test

import (
	"errors"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestPage_Add_room(t *testing.T) {
	t.Parallel()
	errFull := errors.New("full")
	left := 2
	page := ticket.NewPage(ticket.PageLimit{Items: 10, Bytes: 10_000, Room: func(string, ticket.Weight) error {
		if left == 0 {
			return errFull
		}
		left--
		return nil
	}})
	for i, want := range []bool{true, true, false} {
		if added, err := page.Add("t", ticket.Weight{}); added != want || err != nil {
			t.Errorf("item %d: %v, %v; want %v", i, added, err, want)
		}
	}
	page = ticket.NewPage(ticket.PageLimit{Items: 10, Bytes: 10_000, Room: func(string, ticket.Weight) error { return errFull }})
	if added, err := page.Add("t", ticket.Weight{}); added || !errors.Is(err, errFull) || !errors.Is(err, ticket.ErrNoRoom) {
		t.Errorf("the first item: %v, %v; want ErrNoRoom with %v", added, err, errFull)
	}
}

func TestPage_Add_elements(t *testing.T) {
	t.Parallel()
	page := ticket.NewPage(ticket.PageLimit{Items: 10, Bytes: ticket.MaxPageBytes})
	for i, want := range []bool{true, false} {
		if added, err := page.Add("t", ticket.Weight{Bytes: 100_000, Elements: 40_000}); added != want || err != nil {
			t.Errorf("item %d of 40,000 elements: %v, %v; want %v", i, added, err, want)
		}
	}
}
