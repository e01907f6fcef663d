package sqlite_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	t.Parallel()
	tickettest.TestStore(t, func(t *testing.T) tickettest.Open {
		path := filepath.Join(t.TempDir(), "tickets.db")
		return func(t *testing.T) ticket.Store { return mustOpen(t, path) }
	})
}

func mustOpen(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// mustExec executes statements on a database that no store has open.
func mustExec(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func change(eventID, ticketID string) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, OccurTime: tickettest.At(1),
		Named: tickettest.Named("title"), Values: ticket.Ticket{Title: eventID}}
}

func TestATicketThatCannotBeReadFailsItsOwnEventsAlone(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]string{
		"content": "UPDATE tickets SET content = x'ff' WHERE ticket_id = 'bad'",
		"stamps":  "UPDATE tickets SET stamps = x'0105' WHERE ticket_id = 'bad'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "tickets.db")
			store := mustOpen(t, path)
			if _, err := store.Record(t.Context(), []ticket.Change{change("e1", "bad"), change("e2", "good")}); err != nil {
				t.Fatal(err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			mustExec(t, path, damage)
			store = mustOpen(t, path)
			defer func() { _ = store.Close() }()
			recorded, err := store.Record(t.Context(), []ticket.Change{change("e3", "bad"), change("e4", "good"), change("e5", "bad"), change("e6", "new"), change("e3", "bad")})
			if err != nil {
				t.Fatal(err)
			}
			for i, wantErr := range []error{ticket.ErrCorrupt, nil, ticket.ErrCorrupt, nil, ticket.ErrCorrupt} {
				if !errors.Is(recorded[i].Err, wantErr) || recorded[i].Duplicate {
					t.Errorf("change %d: %+v, want error %v", i, recorded[i], wantErr)
				}
			}
			events, _, err := store.ListEvents(t.Context(), "new", 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(events) != 1 || events[0].Sequence != 4 {
				t.Errorf("events %+v, want one in place 4: failed events leave no gap", events)
			}
			if _, _, err := store.ListEvents(t.Context(), "bad", 0, 10); err != nil && !errors.Is(err, ticket.ErrCorrupt) {
				t.Errorf("its events: %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	if err := mustOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, path, "PRAGMA user_version = 1000")
	if _, err := sqlite.Open(t.Context(), path); !errors.Is(err, sqlitedb.ErrUnusable) {
		t.Errorf("Open = %v, want ErrUnusable", err)
	}
}
