// Package postgresql provides tests with databases of a real PostgreSQL server.
//
// A package whose tests need a database runs its tests through [Main]. TEST_POSTGRES_URL is the URL of the server; its role must be allowed
// to create databases. If it is not set, a server is started from the binaries of this machine. If there are no binaries, the tests are
// skipped. If TEST_POSTGRES_REQUIRED is not empty, as in CI, they fail instead. The same applies to tests with a pooler and PgBouncer.
package postgresql

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

const (
	urlEnv      = "TEST_POSTGRES_URL"
	requiredEnv = "TEST_POSTGRES_REQUIRED"
)

// limit is the maximum time of the start of a server, and of a statement.
const limit = time.Minute

// shared is the server of this test binary.
var shared struct {
	mu sync.Mutex
	// open is set while [Main] runs. Main ends the server.
	open   bool
	server *postgresserver.Server
}

// Main returns a runner of a package's tests. It ends the server after the tests. TestMain passes it to goleak, or runs it:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(postgresql.Main(m)) }
func Main(m *testing.M) interface{ Run() int } { return runner{m} }

type runner struct{ tests *testing.M }

// Run runs the tests and returns the exit status.
func (r runner) Run() int {
	shared.mu.Lock()
	shared.open = true
	shared.mu.Unlock()
	status := r.tests.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.open = false
	if shared.server == nil {
		return status
	}
	if err := shared.server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(status, 1)
	}
	return status
}

// Database returns the URL of a new, empty database. At the end of the test it closes all connections to the database and drops it.
func Database(t testing.TB) string {
	t.Helper()
	server := sharedURL(t)
	location, err := url.Parse(server)
	if err != nil {
		// Without the error's text, which holds the URL and so the password.
		t.Fatalf("%s is not a URL", urlEnv)
	}
	name := "ticketbridge_test_" + strings.ToLower(rand.Text())
	mustExecute(t, server, "CREATE DATABASE "+name+" TEMPLATE template0 "+collation(t, server))
	t.Cleanup(func() { mustExecute(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	location.Path = "/" + name
	return location.String()
}

// collation returns the options of a database that sorts strings by a language's rules instead of by bytes. So a test fails if a query
// needs the order of bytes without COLLATE "C". PostgreSQL 14 can't use ICU for a database, and gets the default of the server.
func collation(t testing.TB, server string) string {
	t.Helper()
	if queryRow[int](t, server, "SELECT current_setting('server_version_num')::int") < 15_00_00 {
		return ""
	}
	return "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
}

// Server starts a server that only this test uses, so the test may stop, kill and restart it. The server is ended at the end of the test.
// It is never the server of TEST_POSTGRES_URL. settings are those of [postgresserver.Options], and may be nil.
func Server(t testing.TB, settings map[string]string) *postgresserver.Server {
	t.Helper()
	server, err := start(postgresserver.Options{Settings: settings})
	if err != nil {
		fail(t, err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// StandbyOf starts a standby of a server. primary is the address from which the standby streams: that of the server or of a proxy to it.
// The standby is ended at the end of the test.
func StandbyOf(t testing.TB, server *postgresserver.Server, primary string) *postgresserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	standby, err := server.StartStandby(ctx, primary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	return standby
}

// Pooler starts a PgBouncer, and returns it with the URL of the database through it. The pooler is ended at the end of the test.
func Pooler(t testing.TB, options postgresserver.PoolerOptions) (*postgresserver.Pooler, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	pooler, err := postgresserver.StartPooler(ctx, options)
	if err != nil {
		fail(t, err)
	}
	t.Cleanup(func() {
		if err := pooler.Close(); err != nil {
			t.Error(err)
		}
	})
	through, err := pooler.URL(options.URL)
	if err != nil {
		t.Fatal(err)
	}
	return pooler, through
}

// Connect returns a separate connection to a database. It is closed at the end of the test.
func Connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_ = connection.Close(ctx)
	})
	return connection
}

// Execute runs one statement in a database.
func Execute(t testing.TB, url, statement string, arguments ...any) {
	t.Helper()
	if _, err := Connect(t, url).Exec(t.Context(), statement, arguments...); err != nil {
		t.Fatal(err)
	}
}

// RequireBinaries skips the test, or fails it, if this machine has no PostgreSQL: see the package comment.
func RequireBinaries(t testing.TB) {
	t.Helper()
	if _, err := postgresserver.Find(); err != nil {
		fail(t, err)
	}
}

// Unusable is the URL of a database that no service can use.
type Unusable struct {
	// URL is the URL with a user and a password.
	URL string
	// Password is the password in the URL. No error and no log may contain it.
	Password string
	// Told is a text that the error must contain.
	Told string
}

// UnusableDatabases returns databases that no service can use, by a description of each.
func UnusableDatabases(t testing.TB) map[string]Unusable {
	t.Helper()
	readOnly := Database(t)
	Execute(t, readOnly, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$")
	good, err := url.Parse(Database(t))
	if err != nil {
		t.Fatal("a database's URL is none")
	}
	password, _ := good.User.Password()
	with := func(change func(*url.URL)) string {
		changed := *good
		change(&changed)
		return changed.String()
	}
	const wrong = "s3cret"
	return map[string]Unusable{
		"a wrong password":    {with(func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), wrong) }), wrong, "refuses user"},
		"no such database":    {with(func(u *url.URL) { u.Path = "/missing" }), password, `has no database "missing"`},
		"an unreachable host": {with(func(u *url.URL) { u.Host = "127.0.0.1:1" }), password, "postgres://127.0.0.1:1 can't be reached"},
		"a read-only replica": {readOnly, password, "read-only replica"},
	}
}

// sharedURL returns the URL of a database in which databases can be created. The first call starts the shared server.
func sharedURL(t testing.TB) string {
	t.Helper()
	if given := os.Getenv(urlEnv); given != "" {
		return given
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.open {
		t.Fatal("no TestMain of this package runs the tests through postgresql.Main, so that nothing would end the server")
	}
	if shared.server == nil {
		server, err := start(postgresserver.Options{})
		if err != nil {
			fail(t, err)
		}
		shared.server = server
	}
	return shared.server.URL("postgres")
}

func start(options postgresserver.Options) (*postgresserver.Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return postgresserver.Start(ctx, options)
}

// fail ends the test. The test is skipped if PostgreSQL or PgBouncer is missing and not required; otherwise it fails.
func fail(t testing.TB, err error) {
	t.Helper()
	missing := errors.Is(err, postgresserver.ErrNotInstalled) || errors.Is(err, postgresserver.ErrNoPooler)
	if missing && os.Getenv(requiredEnv) == "" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// queryRow returns the one value of a query.
func queryRow[T any](t testing.TB, url, query string) (value T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close(ctx) }()
	if err := connection.QueryRow(ctx, query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// mustExecute runs one statement on a new connection. It does not use the test's context, which has ended when a test cleans up.
func mustExecute(t testing.TB, url, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	connection, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close(ctx) }()
	if _, err := connection.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
