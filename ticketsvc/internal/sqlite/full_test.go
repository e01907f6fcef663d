package sqlite_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// TestStore_Ping_fullDisk limits the size of the file instead of the disk: SQLite reports both in the same way. Ping must recover without
// an event after there is space again.
func TestStore_Ping_fullDisk(t *testing.T) {
	t.Parallel()
	store := mustOpen(t, filepath.Join(t.TempDir(), "tickets.db"))
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Writer().ExecContext(t.Context(), "PRAGMA max_page_count = 40"); err != nil {
		t.Fatal(err)
	}
	change := ticket.Change{EventID: "e1", Name: ticket.Created, TicketID: "t1", OccurTime: tickettest.At(1),
		Fields: tickettest.Named("title"),
		Values: ticket.Ticket{Title: strings.Repeat("x", 200000)}}
	if _, err := store.Append(t.Context(), []ticket.Change{change}); !errors.Is(err, ticket.ErrUnavailable) {
		t.Errorf("Record beyond the space = %v, want ErrUnavailable", err)
	}
	if err := store.Ping(t.Context()); !errors.Is(err, ticket.ErrUnavailable) || !strings.Contains(err.Error(), "full") {
		t.Errorf("Ping while the disk is full = %v, want ErrUnavailable that says why", err)
	}
	if _, err := store.Writer().ExecContext(t.Context(), "PRAGMA max_page_count = 4294967294"); err != nil {
		t.Fatal(err)
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for err := store.Ping(t.Context()); err != nil; err = store.Ping(t.Context()) {
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatalf("Ping once there is space = %v", err)
		}
	}
}
