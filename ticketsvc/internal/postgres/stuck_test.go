package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// stickBehind begins a transaction and sends these statements, but not the rest of its message, like a replica that is stopped, or whose
// machine vanishes. It returns after the server has executed the statements.
func stickBehind(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), "SELECT pg_advisory_lock_shared($1, 0)", postgresdb.SessionMark); err != nil {
		t.Fatal(err)
	}
	pipeline := conn.PgConn().StartPipeline(t.Context())
	t.Cleanup(func() { _ = pipeline.Close() })
	pipeline.SendQueryParams("begin", nil, nil, nil, nil)
	for _, statement := range statements {
		pipeline.SendQueryParams(statement, nil, nil, nil, nil)
	}
	pipeline.SendFlushRequest()
	if err := pipeline.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 1 + len(statements) {
		results, err := pipeline.GetResults()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := results.(*pgconn.ResultReader).Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStore_Append_stuckReplicaIsCutOff(t *testing.T) {
	t.Parallel()
	const insertTicket = "INSERT INTO ticketsvc.tickets VALUES ('new', false, 0, '', '', '', '', '', '', '', '')"
	for name, test := range map[string]struct{ stuckBehind, ticketID string }{
		"with the lock of the log":    {postgres.LockLog, "unrelated"},
		"with a ticket":               {"SELECT FROM ticketsvc.tickets WHERE ticket_id = 'old' FOR NO KEY UPDATE", "old"},
		"with the id of a new ticket": {insertTicket, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgresql.Database(t)
			store := mustOpen(t, url)
			t.Cleanup(func() { _ = store.Close() })
			if err := <-recordAlone(t.Context(), store, change("1", "old")); err != nil {
				t.Fatal(err)
			}
			stickBehind(t, postgresql.Connect(t, url), test.stuckBehind)
			for begin := time.Now(); ; {
				err := <-recordAlone(t.Context(), store, change("2", test.ticketID))
				if err == nil {
					break
				}
				if !errors.Is(err, ticket.ErrLocked) && !errors.Is(err, ticket.ErrUnavailable) || time.Since(begin) > 30*time.Second {
					t.Fatal(err)
				}
			}
		})
	}
}
