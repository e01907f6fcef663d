package main

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// TestCopy_All_whileTheCopyChanges reads and changes each ticket while All yields it. The copy has more than one page.
func TestCopy_All_whileTheCopyChanges(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tickets, err := OpenCopy(ctx, filepath.Join(t.TempDir(), "copy.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tickets.Close(); err != nil {
			t.Error(err)
		}
	}()
	const count = 2*pageSize + 1
	id := func(i int) string { return fmt.Sprintf("t%05d", i) }
	for i := range count {
		if err := tickets.Apply(ctx, changed(id(i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for ticket, err := range tickets.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if ticket.GetTicketId() != id(seen) || ticket.GetRevision() != 1 {
			t.Fatalf("%v, want the first revision of ticket %s", ticket, id(seen))
		}
		if _, err := tickets.Get(ctx, ticket.GetTicketId()); err != nil {
			t.Fatal(err)
		}
		if err := tickets.Apply(ctx, changed(ticket.GetTicketId(), 2)); err != nil {
			t.Fatal(err)
		}
		seen++
	}
	if seen != count {
		t.Errorf("All yielded %d tickets, want %d", seen, count)
	}
}

func changed(id string, revision int64) *ticketv1.WatchTicketsResponse {
	return &ticketv1.WatchTicketsResponse{ResumeToken: "token", Message: &ticketv1.WatchTicketsResponse_Change{
		Change: &ticketv1.TicketChange{Ticket: &ticketv1.Ticket{TicketId: id, Revision: revision}}}}
}
