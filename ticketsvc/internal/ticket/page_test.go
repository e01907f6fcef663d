package ticket_test

import (
	"errors"
	"math"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestPage_Add_room(t *testing.T) {
	t.Parallel()
	errFull := errors.New("full")
	left := 2
	page := ticket.NewPage(ticket.PageLimit{Items: 10, Bytes: 10_000, Budget: func(string, ticket.Weight) error {
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
	page = ticket.NewPage(ticket.PageLimit{Items: 10, Bytes: 10_000, Budget: func(string, ticket.Weight) error { return errFull }})
	if added, err := page.Add("t", ticket.Weight{}); added || !errors.Is(err, errFull) || !errors.Is(err, ticket.ErrNoMemory) {
		t.Errorf("the first item: %v, %v; want ErrNoMemory with %v", added, err, errFull)
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

func TestPageSize(t *testing.T) {
	t.Parallel()
	for requested, want := range map[int32]int{0: 50, 1: 1, 1000: 1000, 1001: 1000, 1_000_000_000: 1000} {
		if got, ok := ticket.PageSize(requested); got != want || !ok {
			t.Errorf("PageSize(%d) = %d, %v; want %d", requested, got, ok, want)
		}
	}
	for _, requested := range []int32{-1, math.MinInt32} {
		if _, ok := ticket.PageSize(requested); ok {
			t.Errorf("PageSize(%d) is accepted", requested)
		}
	}
}
