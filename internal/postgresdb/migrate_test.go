package postgresdb_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// counted are migrations that record that they ran.
var counted = []postgresdb.Migration{
	{Script: "CREATE TABLE test.runs (step integer); INSERT INTO test.runs VALUES (1); CREATE TABLE test.t (id integer PRIMARY KEY)"},
	{Script: "ALTER TABLE test.t ADD COLUMN note text", Fill: func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO test.runs VALUES (2); UPDATE test.t SET note = 'filled'")
		return err
	}},
}

// openAtOnce opens a database 8 times at the same time, as replicas do that start together.
func openAtOnce(t *testing.T, o postgresdb.Options) {
	t.Helper()
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			db, err := postgresdb.Open(t.Context(), o)
			if err == nil {
				db.Close()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func checkVersion(t *testing.T, conn *pgx.Conn, want string) {
	t.Helper()
	if got := mustRead[string](t, conn, "SELECT (SELECT string_agg(version::text, ',') FROM test.schema_version)"+
		" || ' by ' || (SELECT string_agg(step::text, ',' ORDER BY step) FROM test.runs)"); got != want {
		t.Errorf("version %s, want %s", got, want)
	}
}

func TestOpen_replicasMigrateOnce(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	o := options(url)
	o.Migrations = counted
	openAtOnce(t, o)
	checkVersion(t, postgresql.Connect(t, url), "2 by 1,2")
	openAtOnce(t, o)
	checkVersion(t, postgresql.Connect(t, url), "2 by 1,2")
}

func TestOpen_migratesWhileTheOldVersionWorks(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	o := options(url)
	o.Migrations = counted[:1]
	old := mustOpen(t, o)
	checkVersion(t, postgresql.Connect(t, url), "1 by 1")

	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan error)
	go func() {
		for id := 0; ; id++ {
			if err := old.Write(t.Context(), inserting(id)); err != nil || ctx.Err() != nil {
				written <- err
				return
			}
		}
	}()
	o.Migrations = counted
	openAtOnce(t, o)
	cancel()
	if err := <-written; err != nil {
		t.Errorf("the old version's writer: %v", err)
	}
	checkVersion(t, postgresql.Connect(t, url), "2 by 1,2")

	o.Migrations = counted[:1]
	db, err := postgresdb.Open(t.Context(), o)
	if err == nil {
		db.Close()
	}
	const want = "has schema 2 of test, newer than the 1 that this binary knows: run a newer binary"
	if !errors.Is(err, postgresdb.ErrUnusable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("opening a newer schema: %v, want %q", err, want)
	}
}

func TestOpen_rollsBackAFailedMigration(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	conn := postgresql.Connect(t, url)
	for _, second := range []postgresdb.Migration{
		{Script: "CREATE TABLE test.half (id integer); SELECT nonsense"},
		{Script: "CREATE TABLE test.half (id integer); not a statement"},
		{Script: "CREATE TABLE test.half (id integer); DO $$ BEGIN RAISE EXCEPTION E'two\\nlines'; END $$"},
		{Script: "CREATE TABLE test.half (id integer)", Fill: func(context.Context, pgx.Tx) error { return errors.New("broken") }},
	} {
		o := options(url)
		o.Migrations = []postgresdb.Migration{counted[0], second}
		checkRefused(t, o, postgresServer(t, url), "can't be set up (bringing the schema from version 1 to 2: ")
		if !mustRead[bool](t, conn, "SELECT to_regnamespace('test') IS NULL") {
			t.Fatal("the schema is there")
		}
	}
	mustOpen(t, options(url))
}

// postgresServer returns host:port of a URL.
func postgresServer(t *testing.T, url string) (server string) {
	t.Helper()
	name, err := postgresdb.Name(url)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(name, "/")[2]
}

// bound is a limit for the waits of Open that is long enough if the server is there.
const bound = time.Second

func TestOpen_migrationHasNoTimeout(t *testing.T) {
	t.Parallel()
	o := options(postgresql.Database(t))
	o.Migrations = slices.Concat(counted[:2], []postgresdb.Migration{{Script: "SELECT pg_sleep(2)"}})
	db, err := postgresdb.OpenWithin(t.Context(), o, bound)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}

func TestOpen_migrationTimesOutOnALockedTable(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	o := options(url)
	o.Migrations = counted[:1]
	mustOpen(t, o)
	conn := postgresql.Connect(t, url)
	mustExec(t, conn, "begin; SELECT FROM test.t")
	o.Migrations = counted
	db, err := postgresdb.OpenWithin(t.Context(), o, bound)
	if err == nil {
		db.Close()
	}
	const want = "can't be set up while another session uses the tables of schema test: retry when it is done"
	if !errors.Is(err, postgresdb.ErrUnusable) || !strings.Contains(err.Error(), want) {
		t.Errorf("Open that can't have a table = %v, want %q", err, want)
	}
	checkVersion(t, postgresql.Connect(t, url), "1 by 1")
}

func TestOpen_waitsForAnotherMigration(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	conn := postgresql.Connect(t, url)
	mustExec(t, conn, "SELECT pg_advisory_lock($1)", postgresdb.MigrationLock("test"))
	const waits = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted" +
		" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"

	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan error)
	open := func(ctx context.Context) {
		db, err := postgresdb.Open(ctx, options(url))
		if err == nil {
			db.Close()
		}
		opened <- err
	}
	go open(ctx)
	waitUntil(t, conn, waits)
	cancel()
	if err := <-opened; !errors.Is(err, context.Canceled) {
		t.Errorf("Open that was cancelled while it waited = %v, want context.Canceled", err)
	}
	waitUntil(t, conn, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'test')")

	db, err := postgresdb.OpenWithin(t.Context(), options(url), bound)
	if err == nil {
		db.Close()
	}
	const want = "can't be set up while another process changes schema test"
	if !errors.Is(err, postgresdb.ErrUnusable) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
		t.Errorf("Open that waited for too long = %v, want %q", err, want)
	}

	go open(t.Context())
	waitUntil(t, conn, waits)
	mustExec(t, conn, "SELECT pg_advisory_unlock($1)", postgresdb.MigrationLock("test"))
	if err := <-opened; err != nil {
		t.Errorf("Open after the other is done = %v", err)
	}
}
