package postgresdb_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// insertingOnce returns a function that inserts a row if it is missing, and counts how often it was run.
func insertingOnce(id int, runs *int) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		*runs++
		var exists bool
		first := &pgx.Batch{}
		first.Queue("begin")
		first.Queue("SELECT EXISTS (SELECT FROM test.t WHERE id = $1)", id).QueryRow(func(row pgx.Row) error { return row.Scan(&exists) })
		if err := conn.SendBatch(ctx, first).Close(); err != nil {
			return err
		}
		last := &pgx.Batch{}
		if !exists {
			last.Queue("INSERT INTO test.t (id) VALUES ($1)", id)
		}
		postgresdb.QueueCommit(last, !exists)
		return conn.SendBatch(ctx, last).Close()
	}
}

// TestWrite_waitsForTheStandby cuts off a write's wait for the standby, in each possible way. The write is then committed only at the
// primary. Then it does the same write again, which finds it done.
func TestWrite_waitsForTheStandby(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	databaseURL := server.URL("postgres")
	db, watch := mustOpen(t, options(databaseURL)), postgresql.Connect(t, databaseURL)
	for id, test := range []struct {
		name string
		// cutOff ends the wait. cancel ends the context of the write.
		cutOff func(s *postgresql.Standby, cancel context.CancelFunc)
		// runs is how often Write runs its function before it returns.
		runs int
	}{
		{"the caller goes away", func(_ *postgresql.Standby, cancel context.CancelFunc) { cancel() }, 1},
		{"the session is cancelled", func(s *postgresql.Standby, _ context.CancelFunc) { s.Cancel(t, "test") }, 1},
		{"the session is terminated", func(s *postgresql.Standby, _ context.CancelFunc) { s.Terminate(t, "test") }, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			standby := postgresql.LoseStandby(t, server)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			runs := 0
			result, waits := standby.Begin(t, "test", func() error { return db.Write(ctx, insertingOnce(id, &runs)) })
			if !waits {
				t.Fatalf("the first Write did not wait: %v", <-result)
			}
			test.cutOff(standby, cancel)
			if test.runs == 1 {
				if err := <-result; err == nil {
					t.Error("Write whose wait was cut off succeeded")
				} else if ctx.Err() == nil {
					checkUnavailable(t, "Write whose wait was cut off", err)
				}
				waitUntil(t, watch, "SELECT EXISTS (SELECT FROM test.t WHERE id = $1)", id)
				result, waits = standby.Begin(t, "test", func() error { return db.Write(t.Context(), insertingOnce(id, new(int))) })
			} else {
				waitUntil(t, watch, "SELECT EXISTS (SELECT FROM test.t WHERE id = $1)", id)
				// The second run.
				first := result
				result, waits = standby.Begin(t, "test", func() error { return <-first })
			}
			if !waits {
				t.Fatalf("a Write that found the row did not wait for the standby: %v", <-result)
			}
			standby.Return(t)
			if err := <-result; err != nil {
				t.Errorf("Write after the standby is back = %v", err)
			}
			if runs != test.runs {
				t.Errorf("%d runs, want %d", runs, test.runs)
			}
		})
	}
}

// TestQueueCommit_bytesOfTheLog checks that the message is written only if nothing else was, and that it is small.
func TestQueueCommit_bytesOfTheLog(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, map[string]string{"autovacuum": "off"})
	databaseURL := server.URL("postgres")
	db, watch := mustOpen(t, options(databaseURL)), postgresql.Connect(t, databaseURL)
	message := func(wrote bool) func(context.Context, *pgx.Conn) error {
		return func(ctx context.Context, conn *pgx.Conn) error {
			batch := &pgx.Batch{}
			batch.Queue("begin")
			postgresdb.QueueCommit(batch, wrote)
			return conn.SendBatch(ctx, batch).Close()
		}
	}
	for wrote, most := range map[bool]int{true: 0, false: 200} {
		begin := mustRead[string](t, watch, "SELECT pg_current_wal_insert_lsn()::text")
		if err := db.Write(t.Context(), message(wrote)); err != nil {
			t.Fatal(err)
		}
		bytes := mustRead[int](t, watch, "SELECT (pg_current_wal_insert_lsn() - $1::pg_lsn)::int", begin)
		if bytes > most || !wrote && bytes == 0 {
			t.Errorf("with wrote = %t the log grew by %d bytes, want at most %d", wrote, bytes, most)
		}
	}
}
