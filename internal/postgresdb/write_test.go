package postgresdb_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// execute runs statements one after the other, each in its own round trip.
func execute(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func TestWrite_commitsOrRollsBack(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db, watch := mustOpen(t, options(url)), postgresql.Connect(t, url)
	errMine := errors.New("mine")
	var pids []uint32
	write := func(f func(context.Context, *pgx.Conn) error) error {
		return db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
			pids = append(pids, conn.PgConn().PID())
			return f(ctx, conn)
		})
	}
	if err := write(inserting(1)); err != nil {
		t.Fatal(err)
	}
	if err := write(func(ctx context.Context, conn *pgx.Conn) error {
		return errors.Join(execute(ctx, conn, "begin", "INSERT INTO test.t VALUES (2)"), errMine)
	}); !errors.Is(err, errMine) || errors.Is(err, postgresdb.ErrUnavailable) {
		t.Errorf("Write = %v, want the function's own error", err)
	}
	if err := write(func(ctx context.Context, conn *pgx.Conn) error {
		return execute(ctx, conn, "begin", "INSERT INTO test.t VALUES (3)", "SELECT 1 / 0")
	}); err == nil || errors.Is(err, postgresdb.ErrUnavailable) || !strings.Contains(err.Error(), "division by zero") {
		t.Errorf("Write = %v, want the statement's error", err)
	}
	if err := write(func(ctx context.Context, conn *pgx.Conn) error {
		return execute(ctx, conn, "begin", "INSERT INTO test.t VALUES (4)")
	}); err == nil || !strings.Contains(err.Error(), "the transaction was left open") {
		t.Errorf("Write of a transaction that was left open = %v", err)
	}
	if err := write(func(context.Context, *pgx.Conn) error { return errMine }); !errors.Is(err, errMine) {
		t.Errorf("Write without a transaction = %v, want the function's own error", err)
	}
	if err := write(inserting(5)); err != nil {
		t.Error(err)
	}
	if got := mustRead[string](t, watch, "SELECT string_agg(id::text, ',' ORDER BY id) FROM test.t"); got != "1,5" {
		t.Errorf("rows %s, want the 1 and 5 that were committed", got)
	}
	for _, pid := range pids {
		if pid != pids[0] {
			t.Errorf("connections of %v, want one that is used again each time", pids)
			break
		}
	}
}

func TestWrite_retriesAfterAConflict(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db, other := mustOpen(t, options(url)), postgresql.Connect(t, url)
	mustExec(t, other, "INSERT INTO test.t VALUES (1, 'before')")
	tests := map[string]func(ctx context.Context, conn *pgx.Conn, run int) error{
		"unique violation": func(ctx context.Context, conn *pgx.Conn, run int) error {
			if run == 1 {
				return execute(ctx, conn, "begin", "INSERT INTO test.t VALUES (1)", "commit")
			}
			return execute(ctx, conn, "begin", "INSERT INTO test.t VALUES (2)", "commit")
		},
		"serialization failure": func(ctx context.Context, conn *pgx.Conn, run int) error {
			if err := execute(ctx, conn, "begin isolation level repeatable read", "SELECT FROM test.t"); err != nil {
				return err
			}
			if run == 1 {
				mustExec(t, other, "UPDATE test.t SET note = 'other' WHERE id = 1")
			}
			return execute(ctx, conn, "UPDATE test.t SET note = note || ' and mine' WHERE id = 1", "commit")
		},
	}
	for name, f := range tests {
		run := 0
		err := db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
			run++
			return f(ctx, conn, run)
		})
		if err != nil || run != 2 {
			t.Errorf("%s: %v after %d runs, want success with the 2nd", name, err, run)
		}
	}
	const want = "1 other and mine,2"
	if got := mustRead[string](t, other, "SELECT string_agg(concat_ws(' ', id, note), ',' ORDER BY id) FROM test.t"); got != want {
		t.Errorf("rows %s, want %s", got, want)
	}
}

func TestWrite_givesUpAfterManyConflicts(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db := mustOpen(t, options(url))
	mustExec(t, postgresql.Connect(t, url), "INSERT INTO test.t VALUES (1)")
	runs := 0
	err := db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		runs++
		return execute(ctx, conn, "begin", "INSERT INTO test.t VALUES (1)", "commit")
	})
	if !errors.Is(err, postgresdb.ErrUnavailable) || runs < 10 || runs > 100 {
		t.Errorf("Write = %v after %d runs, want ErrUnavailable after some", err, runs)
	}
}

// 20 writers want the same row, and the first try of each conflicts with another writer.
func TestWrite_manyWritersOfOneRow(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	o := options(url)
	o.Connections = 20
	db, watch := mustOpen(t, o), postgresql.Connect(t, url)
	mustExec(t, watch, "INSERT INTO test.t VALUES (1, '0')")
	var group errgroup.Group
	for range 20 {
		group.Go(func() error {
			return db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
				return execute(ctx, conn, "begin isolation level serializable", "UPDATE test.t SET note = note::int + 1", "commit")
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if got := mustRead[string](t, watch, "SELECT note FROM test.t"); got != "20" {
		t.Errorf("%s were counted, want 20", got)
	}
}

func TestWrite_deadlock(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db, watch := mustOpen(t, options(url)), postgresql.Connect(t, url)
	mustExec(t, watch, "INSERT INTO test.t VALUES (1, ''), (2, '')")
	var group errgroup.Group
	var bothHoldOne sync.WaitGroup
	bothHoldOne.Add(2)
	update := func(id string) string { return "UPDATE test.t SET note = note || 'x' WHERE id = " + id }
	for _, ids := range [][2]string{{"1", "2"}, {"2", "1"}} {
		first := sync.OnceFunc(func() { bothHoldOne.Done(); bothHoldOne.Wait() })
		group.Go(func() error {
			return db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
				if err := execute(ctx, conn, "begin", update(ids[0])); err != nil {
					return err
				}
				first()
				return execute(ctx, conn, update(ids[1]), "commit")
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if got := mustRead[string](t, watch, "SELECT string_agg(note, ',') FROM test.t"); got != "xx,xx" {
		t.Errorf("notes %s, want that both have written both rows once", got)
	}
}

func TestWrite_endsWithItsContext(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db, other := mustOpen(t, options(url)), postgresql.Connect(t, url)
	mustExec(t, other, "INSERT INTO test.t VALUES (1)")
	mustExec(t, other, "begin; LOCK TABLE test.t")

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- db.Write(ctx, inserting(2)) }()
	waitUntil(t, other, "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, postgresdb.ErrUnavailable) {
		t.Errorf("Write that was cancelled while it waited = %v, want context.Canceled", err)
	}
	mustExec(t, other, "commit")

	ran := false
	if err := db.Write(ctx, func(context.Context, *pgx.Conn) error { ran = true; return nil }); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("Write with an ended context = %v, ran %t; want context.Canceled and no run", err, ran)
	}
	// The server is told to cancel the statement of a caller that has left.
	waitUntil(t, other, "SELECT NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'test.t'::regclass)")
	if err := db.Write(t.Context(), inserting(3)); err != nil {
		t.Error(err)
	}
	if got := mustRead[string](t, other, "SELECT string_agg(id::text, ',' ORDER BY id) FROM test.t"); got != "1,3" {
		t.Errorf("rows %s, want 1 and 3", got)
	}
}

func TestWrite_lockTimeout(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db, other := mustOpen(t, options(url)), postgresql.Connect(t, url)
	mustExec(t, other, "begin; LOCK TABLE test.t")
	runs := 0
	// The timeout of every connection, shortened.
	err := db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		runs++
		return execute(ctx, conn, "begin", "SET LOCAL lock_timeout = '50ms'", "INSERT INTO test.t VALUES (1)", "commit")
	})
	checkUnavailable(t, "Write to a table that is locked", err)
	// Between the runs the locks of stuck replicas are released.
	if runs != 2 {
		t.Errorf("Write to a table that is locked = %v after %d runs, want 2", err, runs)
	}
}
