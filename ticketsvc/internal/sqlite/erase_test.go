package sqlite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func TestNothingOfAnErasedTicketIsLeftInTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	// A description that fills pages of its own, and a title within a row.
	const personal, also = "the tenant's name", "the tenant's number"
	changes := []ticket.Change{
		{EventID: "e1", Name: ticket.Created, TicketID: "t", OccurTime: tickettest.At(1),
			Named:  tickettest.Named("title", "description", "app_id", "category_id"),
			Values: ticket.Ticket{Title: also, AppID: also, CategoryID: also, Description: strings.Repeat(personal, 2000)}},
		{EventID: "e2", Name: ticket.Updated, TicketID: "t", OccurTime: tickettest.At(2), Named: tickettest.Named("phone_number"),
			Values: ticket.Ticket{PhoneNumber: also}},
	}
	if _, err := store.Record(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	if events, err := store.Erase(t.Context(), "t"); err != nil || events != 2 {
		t.Fatalf("Erase = %d, %v", events, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(personal)) || bytes.Contains(content, []byte(also)) {
			t.Errorf("%s still holds what was erased", filepath.Base(file))
		}
	}
}
