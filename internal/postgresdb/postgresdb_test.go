package postgresdb_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgresql.Main(m)) }

// limit bounds waits that could otherwise last for ever. If nothing is wrong, nothing waits that long.
const limit = 30 * time.Second

var migrations = []postgresdb.Migration{
	{Script: "CREATE TABLE test.t (id integer PRIMARY KEY)"}, {Script: "ALTER TABLE test.t ADD COLUMN note text"},
}

func options(url string) postgresdb.Options {
	return postgresdb.Options{URL: url, Schema: "test", Migrations: migrations, Connections: 4}
}

func mustOpen(t *testing.T, o postgresdb.Options) *postgresdb.DB {
	t.Helper()
	db, err := postgresdb.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func mustExec(t *testing.T, conn *pgx.Conn, statement string, arguments ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, arguments...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// mustRead returns the one value of a query's one row.
func mustRead[T any](t *testing.T, conn *pgx.Conn, query string, arguments ...any) (value T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query, arguments...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// waitUntil repeats a query until its result is true.
func waitUntil(t *testing.T, conn *pgx.Conn, query string, arguments ...any) {
	t.Helper()
	for begin := time.Now(); !mustRead[bool](t, conn, query, arguments...); {
		if time.Since(begin) > limit {
			t.Fatalf("not within %v: %s", limit, query)
		}
	}
}

// configure changes a setting of the whole server, even for open connections.
func configure(t *testing.T, admin *pgx.Conn, name, value string) {
	t.Helper()
	mustExec(t, admin, "ALTER SYSTEM SET "+name+" = "+value)
	mustExec(t, admin, "SELECT pg_reload_conf()")
	waitUntil(t, admin, "SELECT current_setting('"+name+"') = '"+value+"'")
}

// terminateAll ends the connections of the databases under test, and returns when they are gone.
func terminateAll(t *testing.T, conn *pgx.Conn) (count int) {
	t.Helper()
	return mustRead[int](t, conn, "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"+
		" WHERE datname = current_database() AND application_name = 'test'")
}

// inserting returns a function that inserts a row in one transaction, or does nothing if the row exists.
func inserting(id int) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		batch := &pgx.Batch{}
		batch.Queue("begin")
		batch.Queue("INSERT INTO test.t (id) VALUES ($1) ON CONFLICT DO NOTHING", id)
		batch.Queue("commit")
		return conn.SendBatch(ctx, batch).Close()
	}
}

// edited returns a URL after edit has changed it.
func edited(t *testing.T, text string, edit func(*url.URL)) string {
	t.Helper()
	location, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	edit(location)
	return location.String()
}

// withParameter returns a URL with one of its parameters set.
func withParameter(t *testing.T, text, name, value string) string {
	t.Helper()
	return edited(t, text, func(location *url.URL) {
		query := location.Query()
		query.Set(name, value)
		location.RawQuery = query.Encode()
	})
}
