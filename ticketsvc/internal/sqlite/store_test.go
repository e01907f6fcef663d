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
	tickettest.TestStore(t, func(t *testing.T) tickettest.Env {
		path := filepath.Join(t.TempDir(), "tickets.db")
		return tickettest.Env{
			Open: func(t *testing.T) ticket.Store { return mustOpen(t, path) },
			CorruptStored: func(t *testing.T, ticketID string, content, stamps []byte) {
				mustExec(t, path, "UPDATE tickets SET content = ?, stamps = ? WHERE ticket_id = ?", content, stamps, ticketID)
			},
			CorruptWords: func(t *testing.T, word string) {
				mustExec(t, path, "INSERT INTO ticket_words (ticket_words) VALUES ('delete-all');"+
					" INSERT INTO ticket_words (rowid, words) SELECT number, ? FROM tickets; UPDATE words_version SET version = ?",
					word, tickettest.FormerWordsVersion)
			},
			CorruptTime: func(t *testing.T, ticketID, text string) {
				mustExec(t, path, "UPDATE events SET occur_time = ?, receive_time = ? WHERE ticket_id = ?", text, text, ticketID)
			},
		}
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

// mustExec executes statements on a database that is not open in a store.
func mustExec(t *testing.T, path, statements string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statements, args...); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpen_newerSchema(t *testing.T) {
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

func TestStore_Append_positionsDifferBetweenDatabases(t *testing.T) {
	t.Parallel()
	var databases [2]ticket.Store
	for i := range databases {
		store := mustOpen(t, filepath.Join(t.TempDir(), "tickets.db"))
		t.Cleanup(func() { _ = store.Close() })
		databases[i] = store
	}
	tickettest.CheckNonces(t, databases)
}

func TestStore_Append_loadsFewLargeTicketsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tickets.db")
	tickettest.TestLargeTickets(t, func(t *testing.T) ticket.Store { return mustOpen(t, path) })
}
