package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/postgrestest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

func TestStore(t *testing.T) {
	t.Parallel()
	tickettest.TestStore(t, func(t *testing.T) tickettest.Place {
		url := postgrestest.Database(t)
		return tickettest.Place{
			Open: func(t *testing.T) ticket.Store {
				t.Helper()
				return mustOpen(t, url)
			},
			Shared: true,
			Plant: func(t *testing.T, ticketID string, content, stamps []byte) {
				t.Helper()
				mustExec(t, url, "UPDATE ticketsvc.tickets SET content = $2, stamps = $3 WHERE ticket_id = $1", ticketID, content, stamps)
			},
		}
	})
}

func mustOpen(t testing.TB, url string) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// mustConnect returns a connection beside those of the stores, until the end of the test.
func mustConnect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func mustExec(t testing.TB, url, statement string, arguments ...any) {
	t.Helper()
	if _, err := mustConnect(t, url).Exec(t.Context(), statement, arguments...); err != nil {
		t.Fatal(err)
	}
}
