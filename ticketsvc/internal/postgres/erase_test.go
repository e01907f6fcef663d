package postgres_test

import (
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// TestStore_Erase_leavesNothingInTheRows checks the current rows. PostgreSQL removes old rows when it vacuums. Data in its write-ahead log
// and in backups is gone when these are deleted.
func TestStore_Erase_leavesNothingInTheRows(t *testing.T) {
	t.Parallel()
	const personal, word = "the tenant's name", "tenant"
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	t.Cleanup(func() { _ = store.Close() })
	c := ticket.Change{EventID: "e1", Name: ticket.Created, TicketID: "t", OccurTime: tickettest.At(1),
		Fields: tickettest.Named("title", "assignee_id", "app_id", "category_id", "property_id"),
		Values: ticket.Ticket{Title: personal, AssigneeID: personal, AppID: personal, CategoryID: personal, PropertyID: personal}}
	if _, err := store.Append(t.Context(), []ticket.Change{c}); err != nil {
		t.Fatal(err)
	}
	conn := postgresql.Connect(t, url)
	rows := func() (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM ticketsvc.events e WHERE position($1::bytea IN payload) > 0 OR"+
			" e::text LIKE '%' || $2 || '%') + (SELECT count(*) FROM ticketsvc.tickets t WHERE position($1::bytea IN content) > 0 OR"+
			" t::text LIKE '%' || $2 || '%') + (SELECT count(*) FROM ticketsvc.ticket_counts c WHERE c::text LIKE '%' || $2 || '%')"+
			" + (SELECT count(*) FROM ticketsvc.ticket_count_changes c WHERE c::text LIKE '%' || $2 || '%')"+
			" + (SELECT count(*) FROM ticketsvc.ticket_words w WHERE w::text LIKE '%' || $3 || '%')",
			[]byte(personal), personal, word).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := rows(); n != 4 {
		t.Fatalf("%d rows hold the text before, want 4", n)
	}
	if _, err := store.Erase(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != 0 {
		t.Errorf("%d rows hold what was erased", n)
	}
}
