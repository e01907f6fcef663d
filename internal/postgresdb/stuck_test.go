package postgresdb_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// sendHalf makes a session execute statements, and leaves it waiting for the rest of their message, like a replica that is stopped or whose
// machine vanishes half-way. It returns the session's process.
func sendHalf(t *testing.T, session *pgx.Conn, statements ...string) (pid uint32) {
	t.Helper()
	conn := session.PgConn()
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

// replica returns a session of another process of the service, with an application name that an operator may set.
func replica(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := mustOpen(t, options(withParameter(t, url, "application_name", "other-replica"))).Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	session := conn.Hijack()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_ = session.Close(ctx)
	})
	return session
}

// answer is the size of an answer that a session does not read. It is more than the network buffers hold.
const answer = "SELECT repeat('x', 100000000)"

// waitStuck waits until a session only waits for the other end.
func waitStuck(t *testing.T, watch *pgx.Conn, pid uint32, event string) {
	t.Helper()
	waitUntil(t, watch, "SELECT state = 'active' AND wait_event IS NOT DISTINCT FROM $2 FROM pg_stat_activity WHERE pid = $1", pid, event)
}

// lastingWait makes a statement wait for a lock as long as it does in the services.
const lastingWait = "SET LOCAL lock_timeout = '4s'"

func TestWrite_terminatesStuckSessionsThatBlockIt(t *testing.T) {
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
			url, log := postgresql.Database(t), &bytes.Buffer{}
			o := options(url)
			o.Log = slog.New(slog.NewTextHandler(log, nil))
			db, watch := mustOpen(t, o), postgresql.Connect(t, url)
			// On a busy machine the server takes long to answer.
			db.SetHangTimeout(limit)
			db.SetTimeouts(limit, limit)
			mustExec(t, watch, "INSERT INTO test.t VALUES (1)")
			pid := sendHalf(t, replica(t, url), append([]string{"begin"}, test.stuck...)...)
			waitStuck(t, watch, pid, test.event)
			runs := 0
			if err := db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
				runs++
				if runs == 1 {
					return execute(ctx, conn, "begin", test.write, "commit")
				}
				// Until the blocking session is terminated, however long that takes.
				return execute(ctx, conn, "begin", "SET LOCAL lock_timeout = 0", test.write, "commit")
			}); err != nil || runs != 2 {
				t.Errorf("Write = %v after %d runs, want success with the 2nd", err, runs)
			}
			want := fmt.Sprintf("pid=%d application_name=other-replica age=", pid)
			// A session that takes long to end is terminated once more.
			if got := log.String(); got == "" || strings.Count(got, "\n") != strings.Count(got, want) || strings.Contains(got, "test.t") {
				t.Errorf("log %q, want lines with %q and no statement", got, want)
			}
		})
	}
}

// The stuck session blocks a session that must not be terminated, and that session blocks the writer.
func TestWrite_terminatesStuckSessionsThatBlockThoseThatBlockIt(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db, watch := mustOpen(t, options(url)), postgresql.Connect(t, url)
	mustExec(t, watch, "INSERT INTO test.t VALUES (1)")
	waitStuck(t, watch, sendHalf(t, replica(t, url), "begin", "UPDATE test.t SET note = 'stuck' WHERE id = 1"), "ClientRead")
	between := postgresql.Connect(t, url)
	updated := make(chan error, 1)
	go func() {
		_, err := between.Exec(context.WithoutCancel(t.Context()), "UPDATE test.t SET note = 'between' WHERE id = 1")
		updated <- err
	}()
	waitUntil(t, watch, "SELECT wait_event_type IS NOT DISTINCT FROM 'Lock' FROM pg_stat_activity WHERE pid = $1", between.PgConn().PID())
	if err := db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		return execute(ctx, conn, "begin", "UPDATE test.t SET note = note || ', then this' WHERE id = 1", "commit")
	}); err != nil {
		t.Errorf("Write = %v", err)
	}
	if err := <-updated; err != nil {
		t.Errorf("the session between: %v", err)
	}
	if got := mustRead[string](t, watch, "SELECT note FROM test.t"); got != "between, then this" {
		t.Errorf("the row has %q", got)
	}
}

// Sessions that are slow, that are not of this package, or that block nobody are not terminated.
func TestWrite_terminatesNoOtherSessions(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db, watch := mustOpen(t, options(url)), postgresql.Connect(t, url)
	mustExec(t, watch, "INSERT INTO test.t VALUES (1)")
	// An administrator's COPY, by the same user and even with the service's application name, blocks the write.
	loading := postgresql.Connect(t, withParameter(t, url, "application_name", "test"))
	mustExec(t, loading, "begin")
	mustExec(t, loading, "INSERT INTO test.t VALUES (2)")
	rows, feed := io.Pipe()
	loaded := make(chan error, 1)
	go func() {
		_, err := loading.PgConn().CopyFrom(context.WithoutCancel(t.Context()), rows, "COPY test.t (id) FROM STDIN")
		loaded <- err
	}()
	waitStuck(t, watch, loading.PgConn().PID(), "ClientRead")
	// A backup of the service's own with a slow reader, a stuck session of the service that blocks nobody, and a session without a
	// transaction.
	reader := sendHalf(t, replica(t, url), "begin", "SELECT FROM test.t", answer)
	waitStuck(t, watch, reader, "ClientWrite")
	harmless := sendHalf(t, replica(t, url), "begin", "INSERT INTO test.t VALUES (3)")
	waitStuck(t, watch, harmless, "ClientRead")
	idle := replica(t, url)
	others := []uint32{loading.PgConn().PID(), reader, harmless, idle.PgConn().PID()}
	runs := 0
	checkUnavailable(t, "Write", db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		runs++
		return execute(ctx, conn, "begin", lastingWait, "INSERT INTO test.t VALUES (2)", "commit")
	}))
	count := mustRead[int](t, watch, "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", others)
	if count != len(others) || runs != 2 {
		t.Errorf("%d of %d sessions are left after %d runs, want all after 2", count, len(others), runs)
	}
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-loaded; err != nil {
		t.Errorf("the COPY failed: %v", err)
	}
}
