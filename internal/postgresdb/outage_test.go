package postgresdb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

// checkUnavailable checks the error of a call while the database is unavailable. It must not be the error of a context, which would be the
// caller's.
func checkUnavailable(t *testing.T, call string, err error) {
	t.Helper()
	if !errors.Is(err, postgresdb.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Errorf("%s = %v, want ErrUnavailable", call, err)
	}
}

// waitUnavailable pings until the database is unavailable: connections notice a setting at different times.
func waitUnavailable(t *testing.T, db *postgresdb.DB) {
	t.Helper()
	begin := time.Now()
	err := db.Ping(t.Context())
	for err == nil && time.Since(begin) < limit {
		err = db.Ping(t.Context())
	}
	checkUnavailable(t, "Ping", err)
}

// fill opens the maximum number of connections, and leaves them idle: those of the pool, and that of [postgresdb.DB.Ping].
func fill(t *testing.T, db *postgresdb.DB) {
	t.Helper()
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.Pool().Reset() // Lost connections are noticed when they are used.
	for range db.Pool().Config().MaxConns {
		conn, err := db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
}

// calls are the calls of the package that need only a running server.
var calls = []struct {
	name string
	// reads is set if the call works while the database is read-only.
	reads bool
	call  func(context.Context, *postgresdb.DB) error
}{
	{"Write", false, func(ctx context.Context, db *postgresdb.DB) error { return db.Write(ctx, inserting(1)) }},
	{"Ping", false, func(ctx context.Context, db *postgresdb.DB) error { return db.Ping(ctx) }},
	{"Notify", false, func(ctx context.Context, db *postgresdb.DB) error { return db.Notify(ctx, "news") }},
	{"Read", true, func(ctx context.Context, db *postgresdb.DB) error {
		return db.Read(ctx, func(tx pgx.Tx) error { _, err := tx.Exec(ctx, "SELECT FROM test.t"); return err })
	}},
	{"Query", true, func(ctx context.Context, db *postgresdb.DB) error {
		return db.Query(ctx, func(q postgresdb.Querier) error {
			var count int
			return q.QueryRow(ctx, "SELECT count(*) FROM test.t").Scan(&count)
		})
	}},
}

func mustRestart(t *testing.T, server *postgresserver.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestDB_serverRestarts(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	db := mustOpen(t, options(server.URL("postgres")))
	fill(t, db)
	server.Kill()
	mustRestart(t, server)
	if err := db.Write(t.Context(), inserting(1)); err != nil {
		t.Errorf("Write after a restart = %v", err)
	}
	fill(t, db)
	server.Kill()
	begin := time.Now()
	for range 2 { // First with the connections from before, then without any.
		for _, c := range calls {
			checkUnavailable(t, c.name+" while the server is down", c.call(t.Context(), db))
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the calls took %v, want that they give up at once", took)
	}
	mustRestart(t, server)
	for _, c := range calls {
		if err := c.call(t.Context(), db); err != nil {
			t.Errorf("%s after the server is back = %v", c.name, err)
		}
	}
}

func TestDB_connectionsAreTerminated(t *testing.T) {
	t.Parallel()
	databaseURL := postgresql.Database(t)
	db, admin := mustOpen(t, options(databaseURL)), postgresql.Connect(t, databaseURL)
	for _, c := range calls {
		fill(t, db)
		if ended := terminateAll(t, admin); ended != 5 {
			t.Errorf("%d connections were there, want 4 and that of Ping", ended)
		}
		if err := c.call(t.Context(), db); err != nil {
			t.Errorf("%s after all connections were terminated = %v", c.name, err)
		}
	}
}

func TestWrite_connectionIsTerminatedDuringIt(t *testing.T) {
	t.Parallel()
	databaseURL := postgresql.Database(t)
	db, admin := mustOpen(t, options(databaseURL)), postgresql.Connect(t, databaseURL)
	runs := 0
	write := func(times int) error {
		runs = 0
		return db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
			if err := execute(ctx, conn, "begin"); err != nil {
				return err
			}
			if runs++; runs <= times {
				terminateAll(t, admin)
			}
			return execute(ctx, conn, "INSERT INTO test.t VALUES (1) ON CONFLICT DO NOTHING", "commit")
		})
	}
	if err := write(1); err != nil || runs != 2 {
		t.Errorf("Write = %v after %d runs, want success with the 2nd", err, runs)
	}
	err := write(100)
	checkUnavailable(t, "Write whose connection is terminated each time", err)
	if runs != 2 {
		t.Errorf("%d runs, want 2", runs)
	}
}

func TestWrite_answerToTheCommitIsLost(t *testing.T) {
	t.Parallel()
	databaseURL := postgresql.Database(t)
	p, through := postgresql.NewProxy(t, databaseURL)
	db, watch := mustOpen(t, options(through)), postgresql.Connect(t, databaseURL)
	runs := 0
	write := func(id int) error {
		runs = 0
		return db.Write(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
			runs++
			if runs == 2 && !mustRead[bool](t, watch, "SELECT EXISTS (SELECT FROM test.t WHERE id = $1)", id) {
				t.Error("the first run has not committed")
			}
			return inserting(id)(ctx, conn)
		})
	}
	p.Cut(postgresql.Cut{Times: 1, Before: postgresql.Committed})
	if err := write(1); err != nil || runs != 2 {
		t.Errorf("Write = %v after %d runs, want success with the 2nd", err, runs)
	}
	p.Cut(postgresql.Cut{Times: 2, Before: postgresql.Committed})
	err := write(2)
	checkUnavailable(t, "Write whose answers are lost each time", err)
	if runs != 2 {
		t.Errorf("%d runs, want 2", runs)
	}
}

func TestDB_serverHangs(t *testing.T) {
	t.Parallel()
	p, through := postgresql.NewProxy(t, postgresql.Database(t))
	db := mustOpen(t, options(through))
	const bound = 200 * time.Millisecond
	db.SetTimeouts(bound, limit)
	short := func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), bound) }

	p.Hang()
	begin := time.Now()
	checkUnavailable(t, "Write", db.Write(t.Context(), inserting(1)))
	checkUnavailable(t, "Write without a connection", db.Write(t.Context(), inserting(1)))
	for _, c := range calls {
		ctx, cancel := short()
		if err := c.call(ctx, db); !errors.Is(err, context.DeadlineExceeded) && c.name != "Write" {
			t.Errorf("%s with a deadline = %v, want context.DeadlineExceeded", c.name, err)
		}
		cancel()
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("the calls took %v, want %v for each", took, bound)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- db.Write(ctx, inserting(1)) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Write that is cancelled = %v, want context.Canceled", err)
	}

	p.Resume()
	db.SetTimeouts(limit, limit)
	for _, c := range calls {
		if err := c.call(t.Context(), db); err != nil {
			t.Errorf("%s after the server answers again = %v", c.name, err)
		}
	}
}

func TestClose_serverHangs(t *testing.T) {
	t.Parallel()
	p, through := postgresql.NewProxy(t, postgresql.Database(t))
	db, err := postgresdb.Open(t.Context(), options(through))
	if err != nil {
		t.Fatal(err)
	}
	const bound = 100 * time.Millisecond
	db.SetTimeouts(bound, bound)
	p.Hang()
	defer p.Resume()
	checkUnavailable(t, "Write", db.Write(t.Context(), inserting(1)))
	begin := time.Now()
	db.Close()
	if took := time.Since(begin); took < bound || took > 5*time.Second {
		t.Errorf("Close took %v, want no more than its bound of %v", took, bound)
	}
}

// For a client that connects anew, the worst server is one that accepts connections and sends nothing.
func TestWrite_serverHangsBeforeItsConnection(t *testing.T) {
	t.Parallel()
	p, through := postgresql.NewProxy(t, postgresql.Database(t))
	db := mustOpen(t, options(withParameter(t, through, "connect_timeout", "1")))
	db.Pool().Reset()
	p.Hang()
	begin := time.Now()
	checkUnavailable(t, "Write", db.Write(t.Context(), inserting(1)))
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("Write took %v, want the 1 s that connecting may take", took)
	}
	p.Resume()
	if err := db.Write(t.Context(), inserting(1)); err != nil {
		t.Errorf("Write after the server answers again = %v", err)
	}
}

func TestClose_makesCallsUnavailable(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(postgresql.Database(t)))
	db.Close()
	for _, c := range calls {
		checkUnavailable(t, c.name+" of a closed database", c.call(t.Context(), db))
	}
}

// makeStandby makes a server a standby without a primary: read-only until it is promoted.
func makeStandby(t *testing.T, server *postgresserver.Server, admin *pgx.Conn) {
	t.Helper()
	signal := filepath.Join(mustRead[string](t, admin, "SHOW data_directory"), "standby.signal")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(signal, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	mustRestart(t, server)
}

// checkReadOnly checks which calls work while the database is read-only: with the connections from before, and without any.
func checkReadOnly(t *testing.T, db *postgresdb.DB) {
	t.Helper()
	for range 2 {
		for _, c := range calls {
			if err := c.call(t.Context(), db); c.reads && err != nil {
				t.Errorf("%s while the database is read-only = %v", c.name, err)
			}
		}
		checkUnavailable(t, "Write while the database is read-only", db.Write(t.Context(), inserting(1)))
		if err := db.Ping(t.Context()); !errors.Is(err, postgresdb.ErrReadOnly) {
			t.Errorf("Ping while the database is read-only = %v, want ErrReadOnly", err)
		}
		db.Pool().Reset()
	}
}

// A standby that is promoted late has the primary's address already.
func TestRead_whileTheServerIsAStandby(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	databaseURL := server.URL("postgres")
	db := mustOpen(t, options(databaseURL))
	if err := db.Write(t.Context(), inserting(1)); err != nil {
		t.Fatal(err)
	}
	makeStandby(t, server, postgresql.Connect(t, databaseURL))
	checkReadOnly(t, db)
	checkRefused(t, options(databaseURL), server.Address(), "is a read-only replica, or set read-only: name the primary")
	admin := postgresql.Connect(t, databaseURL)
	mustExec(t, admin, "SELECT pg_promote()")
	if err := db.Write(t.Context(), inserting(2)); err != nil {
		t.Errorf("Write after the standby is the primary = %v", err)
	}
	for _, c := range calls {
		if err := c.call(t.Context(), db); err != nil {
			t.Errorf("%s after the standby is the primary = %v", c.name, err)
		}
	}
}

func TestDB_severalHosts(t *testing.T) {
	t.Parallel()
	standby, primary := postgresql.Server(t, nil), postgresql.Server(t, nil)
	for _, server := range []*postgresserver.Server{standby, primary} {
		mustExec(t, postgresql.Connect(t, server.URL("postgres")), "CREATE ROLE service SUPERUSER LOGIN PASSWORD '"+password+"'")
	}
	hosts := func(list string) string { return "postgres://service:" + password + "@" + list + "/postgres" }
	first := standby.URL("postgres")
	db, err := postgresdb.Open(t.Context(), options(first))
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	makeStandby(t, standby, postgresql.Connect(t, first))

	closed := newAddress(t)
	checkRefused(t, options(hosts(standby.Address())), standby.Address(), "is a read-only replica, or set read-only: name the primary")
	checkRefused(t, options(hosts(closed+","+standby.Address())), closed+","+standby.Address(), "is a read-only replica")
	checkRefused(t, options(hosts(closed+","+newAddress(t))), closed, "connection refused")
	checkRefused(t, options(hosts(closed+","+primary.Address())+"?x=y"), primary.Address(), `refuses a parameter (unrecognized configuration`)

	for name, list := range map[string]string{
		"one that is down": closed + "," + primary.Address(),
		"a standby":        standby.Address() + "," + primary.Address(),
	} {
		db := mustOpen(t, options(hosts(list)))
		if err := db.Write(t.Context(), inserting(1)); err != nil {
			t.Errorf("%s before the primary: %v", name, err)
		}
		checkSettings(t, db)
	}

	// The primary is set read-only and the standby is promoted. Then the new primary crashes, and the old one can be written to again.
	db = mustOpen(t, options(hosts(standby.Address()+","+primary.Address())))
	onPrimary, onStandby := postgresql.Connect(t, primary.URL("postgres")), postgresql.Connect(t, first)
	configure(t, onPrimary, "default_transaction_read_only", "on")
	waitUnavailable(t, db)
	mustExec(t, onStandby, "SELECT pg_promote()")
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("Ping after the standby is the primary = %v", err)
	}
	if err := db.Write(t.Context(), inserting(1)); err != nil {
		t.Errorf("Write after the standby is the primary = %v", err)
	}
	if got := mustRead[int](t, onStandby, "SELECT count(*) FROM test.t"); got != 1 {
		t.Errorf("the new primary has %d rows, want 1", got)
	}
	standby.Kill()
	for _, c := range calls {
		if err := c.call(t.Context(), db); !c.reads {
			checkUnavailable(t, c.name+" while there is no primary", err)
		} else if err != nil {
			t.Errorf("%s while there is a server that can be read = %v", c.name, err)
		}
	}
	configure(t, onPrimary, "default_transaction_read_only", "off")
	for _, c := range calls {
		if err := c.call(t.Context(), db); err != nil {
			t.Errorf("%s after there is a primary = %v", c.name, err)
		}
	}
}
