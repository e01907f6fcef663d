package postgresdb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// password is the password of the roles that tests make. No error may hold it.
const password = "open-sesame"

// checkRefused checks that a database can't be opened, and that the error is useful to the operator who set the URL and reveals nothing to
// others.
func checkRefused(t *testing.T, o postgresdb.Options, server, want string) {
	t.Helper()
	db, err := postgresdb.Open(t.Context(), o)
	if err == nil {
		db.Close()
		t.Fatal("opened")
	}
	text := err.Error()
	if !errors.Is(err, postgresdb.ErrUnusable) || strings.Contains(text, "\n") || !strings.Contains(text, want) {
		t.Errorf("error %q, want one line of ErrUnusable with %q", text, want)
	}
	if !strings.Contains(text, server) {
		t.Errorf("error %q, want one that names %s", text, server)
	}
	if strings.Contains(text, password) || strings.Contains(text, "failed to connect") || len(text) > 300 {
		t.Errorf("error %q, want one without the password and the driver's own words", text)
	}
}

// newAddress returns an address on which nobody listens.
func newAddress(t *testing.T) string {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// silentAddress returns an address that accepts connections and sends nothing.
func silentAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// access is a server with a role "service" that has only the privileges of everybody.
type access struct {
	server *postgresserver.Server
	admin  *pgx.Conn
}

func newAccess(t *testing.T) access {
	t.Helper()
	server := postgresql.Server(t, nil)
	a := access{server: server, admin: postgresql.Connect(t, server.URL("postgres"))}
	mustExec(t, a.admin, "CREATE ROLE service LOGIN PASSWORD '"+password+"'")
	return a
}

// database makes a database, and executes a script in it as the administrator. It returns its URL for the service, with the default
// sslmode, which makes the driver try each host twice.
func (a access) database(t *testing.T, name, with, script string) string {
	t.Helper()
	mustExec(t, a.admin, "CREATE DATABASE "+name+" TEMPLATE template0 "+with)
	inside := postgresql.Connect(t, a.server.URL(name))
	mustExec(t, inside, script)
	if err := inside.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return edited(t, a.server.URL(name), func(location *url.URL) {
		location.User, location.RawQuery = url.UserPassword("service", password), ""
	})
}

func TestOpen(t *testing.T) {
	t.Parallel()
	a := newAccess(t)
	t.Run("refuses what it can't use", func(t *testing.T) { testOpenRefuses(t, a) })
	t.Run("takes what will do", func(t *testing.T) { testOpenTakes(t, a) })
}

func testOpenRefuses(t *testing.T, a access) {
	closed, silent := newAddress(t), silentAddress(t)
	tests := map[string]struct {
		with, script string
		edit         func(*url.URL)
		server, want string
	}{
		"a wrong password": {edit: func(u *url.URL) { u.User = url.UserPassword("service", password+"!") },
			want: `refuses user "service" (password authentication failed for user "service"): fix user and password in the URL`},
		"an unknown user": {edit: func(u *url.URL) { u.User = url.UserPassword("nobody", password) },
			want: `refuses user "nobody"`},
		"no such database": {edit: func(u *url.URL) { u.Path = "/nowhere" },
			want: `has no database "nowhere": make it with createdb`},
		"a host that is down": {edit: func(u *url.URL) { u.Host = closed }, server: closed,
			want: "can't be reached (connect: connection refused): start it, or fix the URL"},
		"a host that does not answer": {edit: func(u *url.URL) { u.Host, u.RawQuery = silent, "connect_timeout=1" }, server: silent,
			want: "can't be reached (it does not answer)"},
		"an unknown host": {edit: func(u *url.URL) { u.Host = "nowhere.invalid:5433" }, server: "nowhere.invalid:5433",
			want: "can't be reached (its host is not known)"},
		"a server without TLS": {edit: func(u *url.URL) { u.RawQuery = "sslmode=require" },
			want: "can't be reached (tls error: server refused TLS connection)"},
		"an unknown parameter": {edit: func(u *url.URL) { u.RawQuery = "nonsense=1" },
			want: `refuses a parameter (unrecognized configuration parameter "nonsense"): fix it in the URL`},
		"a parameter of a wrong value": {edit: func(u *url.URL) { u.RawQuery = "work_mem=much" },
			want: `refuses a parameter (invalid value for parameter "work_mem": "much"): fix it in the URL`},
		"a database set read-only": {script: "ALTER DATABASE {} SET default_transaction_read_only = on",
			want: "is a read-only replica, or set read-only: name the primary"},
		"encoding LATIN1":    {with: "ENCODING 'LATIN1'", want: "has encoding LATIN1: make the database with encoding UTF8"},
		"encoding SQL_ASCII": {with: "ENCODING 'SQL_ASCII'", want: "has encoding SQL_ASCII: make the database with encoding UTF8"},
		"synchronous_commit off for the database": {script: "ALTER DATABASE {} SET synchronous_commit = off",
			want: "has synchronous_commit off for this user and database"},
		"synchronous_commit off for the user": {script: "ALTER ROLE service IN DATABASE {} SET synchronous_commit = off",
			want: "has synchronous_commit off for this user and database"},
		"synchronous_commit off by the URL": {edit: func(u *url.URL) { u.RawQuery = "synchronous_commit=off" },
			want: "has synchronous_commit off for this user and database"},
		"a preference for standbys": {script: "ALTER DATABASE {} SET synchronous_commit = off",
			edit: func(u *url.URL) { u.RawQuery = "target_session_attrs=prefer-standby" }, want: "has synchronous_commit off"},
		"no right to make a schema": {
			want: `denies user "service" a privilege (permission denied for database {}): grant it CONNECT and CREATE on the database`},
		"a schema without rights": {script: "CREATE SCHEMA test", want: "or the missing privilege on schema test"},
		"no right to connect": {script: "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
			want: `(permission denied for database "{}"): grant it CONNECT`},
		"too many connections": {script: "ALTER DATABASE {} CONNECTION LIMIT 0",
			want: `has no connection left (too many connections for database "{}"): raise the limit`},
	}
	plain := a.database(t, "plain", "", "")
	number := 0
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			database, databaseURL := "plain", plain
			if test.with != "" || test.script != "" {
				number++
				database = fmt.Sprintf("refused_%d", number)
				databaseURL = a.database(t, database, test.with, strings.ReplaceAll(test.script, "{}", database))
			}
			if test.edit != nil {
				databaseURL = edited(t, databaseURL, test.edit)
			}
			if test.server == "" {
				test.server = a.server.Address()
			}
			checkRefused(t, options(databaseURL), test.server, strings.ReplaceAll(test.want, "{}", database))
		})
	}
}

func testOpenTakes(t *testing.T, a access) {
	const mayCreate = "GRANT CREATE ON DATABASE {} TO service;"
	tests := map[string]struct{ script, query string }{
		"synchronous_commit on":           {mayCreate, "synchronous_commit=on"},
		"synchronous_commit local":        {mayCreate + "ALTER DATABASE {} SET synchronous_commit = local", ""},
		"synchronous_commit remote_write": {mayCreate + "ALTER ROLE service IN DATABASE {} SET synchronous_commit = remote_write", ""},
		"synchronous_commit remote_apply": {mayCreate + "ALTER DATABASE {} SET synchronous_commit = remote_apply", ""},
		"a preference for primaries":      {mayCreate, "target_session_attrs=primary"},
		"a preference for standbys":       {mayCreate, "target_session_attrs=prefer-standby"},
		"an administrator's schema":       {"CREATE SCHEMA test; GRANT USAGE, CREATE ON SCHEMA test TO service", ""},
		"a schema of its own":             {"CREATE SCHEMA test AUTHORIZATION service", ""},
	}
	number := 0
	for name, test := range tests {
		number++
		database := fmt.Sprintf("taken_%d", number)
		t.Run(name, func(t *testing.T) {
			databaseURL := a.database(t, database, "", strings.ReplaceAll(test.script, "{}", database))
			databaseURL = edited(t, databaseURL, func(u *url.URL) { u.RawQuery = test.query })
			db := mustOpen(t, options(databaseURL))
			if err := db.Write(t.Context(), inserting(1)); err != nil {
				t.Error(err)
			}
			checkSettings(t, db)
		})
	}
	t.Run("no right to create where all is there", func(t *testing.T) {
		databaseURL := a.database(t, "made", "", "")
		mustOpen(t, options(a.server.URL("made")))
		admin := postgresql.Connect(t, a.server.URL("made"))
		checkRefused(t, options(databaseURL), a.server.Address(), "permission denied for schema test")
		mustExec(t, admin, "GRANT USAGE ON SCHEMA test TO service; GRANT SELECT ON ALL TABLES IN SCHEMA test TO service")
		mustOpen(t, options(databaseURL))
	})
}

// The cases here change the server itself, one after the other.
func TestOpen_serverSettings(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	databaseURL := server.URL("postgres")
	admin := postgresql.Connect(t, databaseURL)
	db := mustOpen(t, options(databaseURL))

	t.Run("connections stay durable", func(t *testing.T) {
		before, err := db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer before.Release()
		// It comes with the other setting, and shows that the connection has received both.
		mustExec(t, admin, "ALTER SYSTEM SET work_mem = '5MB'")
		configure(t, admin, "synchronous_commit", "off")
		defer configure(t, admin, "synchronous_commit", "on")
		waitUntil(t, before.Conn(), "SELECT current_setting('work_mem') = '5MB'")
		if got := mustRead[string](t, before.Conn(), "SHOW synchronous_commit"); got != "on" {
			t.Errorf("synchronous_commit of an open connection became %s with the server's", got)
		}
		checkRefused(t, options(databaseURL), server.Address(), "has synchronous_commit off")
	})

	t.Run("fsync off is refused", func(t *testing.T) {
		configure(t, admin, "fsync", "off")
		defer configure(t, admin, "fsync", "on")
		checkRefused(t, options(databaseURL), server.Address(),
			"has fsync = off, so that a crash loses what was acknowledged: set it on")
	})

	t.Run("read-only and back", func(t *testing.T) {
		if err := db.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		configure(t, admin, "default_transaction_read_only", "on")
		waitUnavailable(t, db)
		checkReadOnly(t, db)
		configure(t, admin, "default_transaction_read_only", "off")
		if err := db.Ping(t.Context()); err != nil {
			t.Errorf("Ping of a database that can be written again = %v", err)
		}
		if err := db.Write(t.Context(), inserting(1)); err != nil {
			t.Errorf("Write to a database that can be written again = %v", err)
		}
	})

	t.Run("a server that stops", func(t *testing.T) {
		// In smart mode the server waits for connected clients, and refuses others.
		postmaster, err := os.FindProcess(mustRead[int](t, admin, `SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int`))
		if err != nil {
			t.Fatal(err)
		}
		if err := postmaster.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for begin := time.Now(); ; {
			other, err := postgresdb.Open(t.Context(), options(databaseURL))
			if err != nil {
				break
			}
			other.Close()
			if time.Since(begin) > limit {
				t.Fatal("it did not stop")
			}
		}
		checkRefused(t, options(databaseURL), server.Address(), "is starting or stopping: retry when it is up")
	})
}

// checkNoURL checks that a URL is refused, with one line that contains want and not the password.
func checkNoURL(t *testing.T, text, want string) {
	t.Helper()
	db, err := postgresdb.Open(t.Context(), options(text))
	if err == nil {
		db.Close()
		t.Fatal("opened")
	}
	if !errors.Is(err, postgresdb.ErrUnusable) || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "the URL "+want) {
		t.Errorf("error %q, want one line of ErrUnusable with %q, without the password", err, want)
	}
	if got, err := postgresdb.Name(text); err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("Name = %q, %v; want an error without the password", got, err)
	}
}

func TestOpen_unusableURLs(t *testing.T) {
	t.Parallel()
	const (
		form       = "is not of the form postgres://user:password@host:5432/database"
		parameters = "has parameters that are not of the form name=value"
		value      = "has no usable value for "
		noFile     = " (no such file or directory)"
		noNumber   = " (invalid syntax)"
	)
	for name, test := range map[string]struct{ text, want string }{
		"nothing":                      {"", form},
		"a path":                       {"data/" + password + ".db", form},
		"another scheme":               {"mysql://u:" + password + "@h/db", form},
		"no slashes":                   {"postgres:u:" + password + "@h", form},
		"key and value":                {"host=h password=" + password, form},
		"a port that is no number":     {"postgres://u:" + password + "@h:port/db", form},
		"a port that there isn't":      {"postgres://u:" + password + "@h:99999/db", form},
		"a broken escape":              {"postgres://u:" + password + "%zz@h/db", form},
		"an unclosed bracket":          {"postgres://u:" + password + "@[::1/db", form},
		"a password with an @":         {"postgres://u:x@" + password + "@h/db", form},
		"a password with a slash":      {"postgres://u:1/" + password + "@h/db", form},
		"a password with a colon":      {"postgres://u:1:" + password + "/db?sslmode=foo", form},
		"a password with a ? and no @": {"postgres://u:1?" + password + "/h", parameters},
		"an unknown sslmode":           {"postgres://u@h/db?sslmode=" + password, value + "sslmode"},
		"one after a password with ?":  {"postgres://u:?sslmode=" + password + "@h/db?sslmode=foo", value + "sslmode"},
		"one that is escaped":          {"postgres://u@h/db?sslmode=%66oo", value + "sslmode"},
		"a timeout that is no number":  {"postgres://u@h/db?connect_timeout=" + password, value + "connect_timeout" + noNumber},
		"connections that are none":    {"postgres://u@h/db?pool_max_conns=" + password, value + "pool_max_conns" + noNumber},
		"no connections":               {"postgres://u:" + password + "@h/db?pool_max_conns=0", value + "pool_max_conns"},
		"a port as parameter":          {"postgres://u@h/db?port=" + password, value + "port"},
		"an unknown service":           {"postgres://u@h/db?service=" + password, value + "service"},
		"a certificate that isn't":     {"postgres://u@h/db?a=b&sslrootcert=/no/" + password + "&c=d", value + "sslrootcert" + noFile},
		"a certificate and its key":    {"postgres://u@h/db?sslcert=/no/" + password + "&sslkey=/no/file", value + "sslcert, sslkey" + noFile},
		"two that are wrong": {"postgres://u@h/db?sslmode=foo&connect_timeout=" + password,
			value + "sslmode, connect_timeout" + noNumber},
		"the same one twice":            {"postgres://u@h/db?sslmode=foo&sslmode=" + password, value + "sslmode"},
		"a password with an ampersand":  {"postgres://u@h/db?password=1&" + password, parameters},
		"a password with an equal sign": {"postgres://u@h/db?password=1&" + password + "=2=3", parameters},
		"a password with a percent":     {"postgres://u@h/db?password=" + password + "%&sslmode=disable", parameters},
		"a password with more percents": {"postgres://u@h/db?password=1&" + password + "%=2", parameters},
	} {
		t.Run(name, func(t *testing.T) { checkNoURL(t, test.text, test.want) })
	}
}

// It is not parallel, because the environment is that of the whole process.
func TestOpen_unusableEnvironment(t *testing.T) {
	url := "postgres://u:" + password + "@h/db?application_name=test"
	t.Setenv("PGPASSWORD", password)
	for _, test := range []struct{ variable, value, want string }{
		{"PGSERVICE", "nowhere", "failed to read service ("},
		{"PGSSLMODE", "foo", "failed to configure TLS (sslmode is invalid)"},
		{"PGCONNECT_TIMEOUT", "soon", "invalid connect_timeout ("},
	} {
		t.Run(test.variable, func(t *testing.T) {
			t.Setenv(test.variable, test.value)
			names := []string{"PGPASSWORD", test.variable}
			slices.Sort(names)
			checkNoURL(t, url, "can't be used because of one of the environment's "+strings.Join(names, ", ")+": "+test.want)
			checkNoURL(t, url+"&sslmode=foo&connect_timeout=x", "can't be used because of one of the environment's ")
		})
	}
	t.Setenv("PGSSLMODE", "foo")
	checkNoURL(t, url+"&sslmode=disable&connect_timeout=x", "has no usable value for connect_timeout (invalid syntax)")
}

func TestName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres://u:secret@h/db":                          "postgres://h:5432/db",
		"postgres://u:se%40c%2Fret@h:5433/db?sslmode=allow": "postgres://h:5433/db",
		"postgres://u:1?x=secret@h/db":                      "postgres://h:5432/db",
		"postgres://u:1#secret@h/db":                        "postgres://h:5432/db",
		"postgres://u@h/db?password=secret":                 "postgres://h:5432/db",
		"postgres://u:secret@a:1,b:2/db":                    "postgres://a:1,b:2/db",
		"postgres://u:secret@a,b,c/db?sslmode=disable":      "postgres://a:5432,b:5432,c:5432/db",
		"postgres://u@[::1]:1,[::2]:2/db":                   "postgres://[::1]:1,[::2]:2/db",
		"postgresql://u@/db?host=/run/postgresql":           "postgres:///run/postgresql/db",
	} {
		if got, err := postgresdb.Name(text); err != nil || got != want {
			t.Errorf("Name(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

// No test has a server that is too old.
func TestCheckServer_oldVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"": false, "ten": false, "90624": false, "130011": false, "140000": true, "180001": true} {
		if err := postgresdb.CheckServer(version, "UTF8", "on", "on"); (err == nil) != want {
			t.Errorf("version %q gave %v", version, err)
		} else if err != nil && !strings.Contains(err.Error(), "use version 14 or newer") {
			t.Errorf("version %q gave %q, want the fix", version, err)
		}
	}
}

func TestOpen_silentServerTimesOut(t *testing.T) {
	t.Parallel()
	silent := silentAddress(t)
	db, err := postgresdb.OpenWithin(t.Context(), options("postgres://u:"+password+"@"+silent+"/db?connect_timeout=60"), bound)
	if err == nil {
		db.Close()
	}
	want := silent + " can't be reached (it does not answer)"
	if !errors.Is(err, postgresdb.ErrUnusable) || !strings.Contains(err.Error(), want) {
		t.Errorf("Open = %v, want %q", err, want)
	}
}

func TestOpen_endsWithItsContext(t *testing.T) {
	t.Parallel()
	databaseURL := "postgres://u:" + password + "@" + silentAddress(t) + "/db"
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for ctx, want := range map[context.Context]error{ended: context.Canceled, late: context.DeadlineExceeded} {
		begin := time.Now()
		if db, err := postgresdb.Open(ctx, options(databaseURL)); !errors.Is(err, want) {
			t.Errorf("Open = %v, %v; want %v", db, err, want)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("Open took %v after its context had ended", took)
		}
	}
}
