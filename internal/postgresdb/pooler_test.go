package postgresdb_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

func TestOpen_refusesPoolersThatAreNotInSessionMode(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]postgresserver.PoolerOptions{
		"transaction mode with one session":   {Mode: "transaction", Size: 1},
		"transaction mode with many sessions": {Mode: "transaction", Size: 20},
		"transaction mode, sessions in turn":  {Mode: "transaction", Size: 20, Extra: "server_round_robin = 1"},
		"statement mode":                      {Mode: "statement", Size: 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.URL = postgresql.Database(t)
			pooler, through := postgresql.Pooler(t, o)
			if o.Extra != "" {
				openServerSessions(t, through, 4)
			}
			checkRefused(t, options(through), pooler.Address(), "set it to session mode (PgBouncer: pool_mode = session)")
			results, err := postgresql.Connect(t, through).PgConn().Exec(t.Context(), "SHOW lock_timeout").ReadAll()
			if err != nil || string(results[0].Rows[0][0]) != "0" {
				t.Errorf("a session of others shows lock_timeout = %s, %v; want no trace of the refused start", results[0].Rows[0], err)
			}
		})
	}
}

// openServerSessions makes a pooler open that number of sessions of its server, and leaves all of them free.
func openServerSessions(t *testing.T, through string, count int) {
	t.Helper()
	var clients []*pgx.Conn
	for range count {
		client := postgresql.Connect(t, through)
		mustExec(t, client, "begin")
		clients = append(clients, client)
	}
	for _, client := range clients {
		mustExec(t, client, "commit")
	}
}

func TestOpen_takesPoolersInSessionMode(t *testing.T) {
	t.Parallel()
	databaseURL := postgresql.Database(t)
	o := postgresserver.PoolerOptions{URL: databaseURL, Mode: "session", Size: 20}
	pooler, through := postgresql.Pooler(t, o)
	db := mustOpen(t, options(through))
	checkSettings(t, db)
	for _, c := range calls {
		if err := c.call(t.Context(), db); err != nil {
			t.Errorf("%s = %v", c.name, err)
		}
	}

	// Somebody changes the pooler while the service runs.
	if err := pooler.Close(); err != nil {
		t.Fatal(err)
	}
	o.Mode, o.Size, o.Address = "transaction", 1, pooler.Address()
	postgresql.Pooler(t, o)
	const statement = "SELECT count(*) FROM test.t"
	db.Pool().Reset()
	first, err := db.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	mustRead[int](t, first.Conn(), statement)
	err = db.Query(t.Context(), func(q postgresdb.Querier) error {
		var count int
		return q.QueryRow(t.Context(), statement).Scan(&count)
	})
	checkUnavailable(t, "Query over a session that others share", err)
	var server *pgconn.PgError
	if !errors.As(err, &server) || server.Code != "42P05" {
		t.Errorf("Query over a session that others share = %v, want it to have prepared a statement that is there", err)
	}
}
