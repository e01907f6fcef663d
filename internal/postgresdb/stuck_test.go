package postgresdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgrestest"
)

// sendHalf has a new session execute statements, and leaves it waiting for the rest of their message, as a replica does that is stopped or
// whose machine vanishes half-way through. It returns the session's process.
func sendHalf(t *testing.T, url string, statements ...string) (pid uint32) {
	t.Helper()
	conn := postgrestest.Connect(t, url).PgConn()
	pipeline := conn.StartPipeline(t.Context())
	t.Cleanup(func() { _ = pipeline.Close() })
	for _, statement := range statements {
		pipeline.SendQueryParams(statement, nil, nil, nil, nil)
	}
	pipeline.SendFlushRequest()
	if err := pipeline.Flush(); err != nil {
		t.Fatal(err)
	}
	return conn.PID()
}

// answer is the size of what a session is asked for that does not take it; it is more than the network takes.
const answer = "SELECT repeat('x', 100000000)"

// waitStuck waits until a session does nothing but wait for the other end.
func waitStuck(t *testing.T, watch *pgx.Conn, pid uint32, event string) {
	t.Helper()
	waitUntil(t, watch, "SELECT state = 'active' AND wait_event IS NOT DISTINCT FROM $2 FROM pg_stat_activity WHERE pid = $1", pid, event)
}

func TestWriteFreesWhatAStuckReplicaHasLocked(t *testing.T) {
	t.Parallel()
	const (
		lock   = "SELECT pg_advisory_xact_lock(7)"
		update = "UPDATE test.t SET note = '' WHERE id = 1"
		insert = "INSERT INTO test.t VALUES (2)"
	)
	for name, test := range map[string]struct {
		stuck        []string
		event, write string
	}{
		"an advisory lock":           {[]string{lock}, "ClientRead", lock},
		"a row":                      {[]string{update}, "ClientRead", update},
		"a new key":                  {[]string{insert}, "ClientRead", insert},
		"a row, and takes no answer": {[]string{"SELECT FROM test.t FOR UPDATE", answer}, "ClientWrite", update},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgrestest.Database(t)
			db, watch := mustOpen(t, options(url)), postgrestest.Connect(t, url)
			mustExec(t, watch, "INSERT INTO test.t VALUES (1)")
			waitStuck(t, watch, sendHalf(t, url, append([]string{"begin"}, test.stuck...)...), test.event)
			begin, runs := time.Now(), 0
			if err := db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
				runs++
				return execute(ctx, conn, "begin", test.write, "commit")
			}); err != nil || runs != 2 {
				t.Errorf("Write = %v after %d runs, want success with the 2nd", err, runs)
			}
			if took := time.Since(begin); took > 7*time.Second {
				t.Errorf("Write took %v, want the 4 s that it waits for a lock, and little more", took)
			}
		})
	}
}

// What is slow, or belongs to others, is not stuck.
func TestWriteLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	db, watch := mustOpen(t, options(url)), postgrestest.Connect(t, url)
	mustExec(t, watch, "INSERT INTO test.t VALUES (1)")
	// A backup whose reader is slow, a client that thinks, and one that has nothing open.
	reader := sendHalf(t, url, "begin", "SELECT FROM test.t", answer)
	waitStuck(t, watch, reader, "ClientWrite")
	others := []uint32{reader}
	for _, statements := range [][]string{{"begin", "LOCK TABLE test.t IN EXCLUSIVE MODE"}, {"SELECT 1"}} {
		conn := postgrestest.Connect(t, url)
		for _, statement := range statements {
			mustExec(t, conn, statement)
		}
		others = append(others, conn.PgConn().PID())
	}
	patience := "4s"
	checkUnavailable(t, "Write", db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		wait := "SET LOCAL lock_timeout = '" + patience + "'"
		patience = "10ms"
		return execute(ctx, conn, "begin", wait, "INSERT INTO test.t VALUES (2)", "commit")
	}))
	if count := mustRead[int](t, watch, "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", others); count != len(others) {
		t.Errorf("%d of %d sessions are left", count, len(others))
	}
}
