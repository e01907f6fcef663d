package postgresdb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestRead_seesOneMomentAndCannotWrite(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db := mustOpen(t, options(url))
	if err := db.Read(t.Context(), func(tx pgx.Tx) error {
		for range 2 {
			if count := mustRead[int](t, tx.Conn(), "SELECT count(*) FROM test.t"); count != 0 {
				t.Errorf("%d rows, want none as in the beginning", count)
			}
			if err := db.Write(t.Context(), inserting(1)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	err := db.Read(t.Context(), func(tx pgx.Tx) error { return execute(t.Context(), tx.Conn(), "INSERT INTO test.t VALUES (2)") })
	if err == nil {
		t.Error("Read wrote")
	}
	errMine := errors.New("mine")
	if err := db.Read(t.Context(), func(pgx.Tx) error { return errMine }); !errors.Is(err, errMine) {
		t.Errorf("Read = %v, want the function's own error", err)
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(postgresql.Database(t)))
	var got int
	if err := db.Query(t.Context(), func(q postgresdb.Querier) error {
		return q.QueryRow(t.Context(), "SELECT 1").Scan(&got)
	}); err != nil || got != 1 {
		t.Errorf("Query = %d, %v; want 1", got, err)
	}
	if err := db.Query(t.Context(), func(q postgresdb.Querier) error {
		return q.QueryRow(t.Context(), "SELECT FROM test.t").Scan()
	}); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("Query without a row = %v, want pgx.ErrNoRows", err)
	}
}

// However many reads there are, and however long they take, a writer and a ping find a connection. A quick read does too, beside
// [postgresdb.DB.Long].
func TestRead_leavesConnectionsForOthers(t *testing.T) {
	t.Parallel()
	const sleep = "SELECT pg_sleep(60)"
	reads := map[string]func(ctx context.Context, db *postgresdb.DB) error{
		"Read": func(ctx context.Context, db *postgresdb.DB) error {
			return db.Read(ctx, func(tx pgx.Tx) error { return execute(ctx, tx.Conn(), sleep) })
		},
		"Query": func(ctx context.Context, db *postgresdb.DB) error {
			return db.Query(ctx, func(q postgresdb.Querier) error { return q.QueryRow(ctx, sleep).Scan(nil) })
		},
	}
	for name, read := range reads {
		for connections, want := range map[int]int{2: 1, 3: 1, 5: 3} {
			url := postgresql.Database(t)
			o := options(url)
			o.Connections = connections
			db, watch := mustOpen(t, o), postgresql.Connect(t, url)
			ctx, cancel := context.WithCancel(t.Context())
			var all errgroup.Group
			for range 20 {
				all.Go(func() error { return read(ctx, db) })
			}
			const sleeping = "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')"
			waitUntil(t, watch, "SELECT "+sleeping+" >= $1", want)
			bounded, cancelBounded := context.WithTimeout(ctx, 5*time.Second)
			for _, c := range calls[:3] {
				if err := c.call(bounded, db); err != nil {
					t.Errorf("%s of %d connections: %s = %v", name, connections, c.name, err)
				}
			}
			cancelBounded()
			if got := mustRead[int](t, watch, "SELECT "+sleeping); got != want {
				t.Errorf("%s has %d of %d connections, want %d", name, got, connections, want)
			}
			cancel()
			if err := all.Wait(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s that is cancelled = %v, want context.Canceled", name, err)
			}
		}
	}
}

// TestLong_leavesConnectionsForOtherReads has more long reads than there are connections.
func TestLong_leavesConnectionsForOtherReads(t *testing.T) {
	t.Parallel()
	for connections, want := range map[int]int{4: 1, 10: 4} {
		url := postgresql.Database(t)
		o := options(url)
		o.Connections = connections
		db, watch := mustOpen(t, o), postgresql.Connect(t, url)
		ctx, cancel := context.WithCancel(t.Context())
		var all errgroup.Group
		for range 20 {
			all.Go(func() error {
				return db.Long(ctx, func() error {
					return db.Query(ctx, func(q postgresdb.Querier) error { return q.QueryRow(ctx, "SELECT pg_sleep(60)").Scan(nil) })
				})
			})
		}
		const sleeping = "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')"
		waitUntil(t, watch, "SELECT "+sleeping+" >= $1", want)
		for _, c := range calls {
			if err := c.call(ctx, db); err != nil {
				t.Errorf("of %d connections: %s = %v", connections, c.name, err)
			}
		}
		if got := mustRead[int](t, watch, "SELECT "+sleeping); got != want {
			t.Errorf("long reads have %d of %d connections, want %d", got, connections, want)
		}
		cancel()
		if err := all.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("a long read that is cancelled = %v, want context.Canceled", err)
		}
	}
}

// TestPing_waitsForNobody has all other connections in use.
func TestPing_waitsForNobody(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(postgresql.Database(t)))
	for range db.Pool().Config().MaxConns {
		conn, err := db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("Ping while all else is in use = %v", err)
	}
}
