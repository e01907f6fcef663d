package postgresserver_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// limit is the maximum time of a step that would otherwise hang for ever. No passing test waits for it.
const limit = 30 * time.Second

func mustExecute(t *testing.T, connection *pgx.Conn, statement string) {
	t.Helper()
	if _, err := connection.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func mustRead(t *testing.T, connection *pgx.Conn, query string) string {
	t.Helper()
	var value string
	if err := connection.QueryRow(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func mustRestart(t *testing.T, server *postgresserver.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestServer_Restart_keepsCommittedData(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*postgresserver.Server) error{
		"killed":  func(server *postgresserver.Server) error { server.Kill(); return nil },
		"stopped": func(server *postgresserver.Server) error { return server.Stop(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := postgresql.Server(t, nil)
			address := server.Address()
			connection := postgresql.Connect(t, server.URL("postgres"))
			mustExecute(t, connection, "CREATE TABLE delivery (id text)")
			mustExecute(t, connection, "INSERT INTO delivery VALUES ('committed')")
			mustExecute(t, connection, "BEGIN")
			mustExecute(t, connection, "INSERT INTO delivery VALUES ('not committed')")
			if err := server.Restart(t.Context()); !errors.Is(err, process.ErrRunning) {
				t.Errorf("restart of a running server: %v, want ErrRunning", err)
			}

			for range 2 { // The second time there is nothing to do.
				if err := end(server); err != nil {
					t.Fatal(err)
				}
			}
			if err := connection.Ping(t.Context()); err == nil {
				t.Error("a connection still answers")
			}

			mustRestart(t, server)
			if server.Address() != address {
				t.Errorf("address %s, want %s as before", server.Address(), address)
			}
			if got := mustRead(t, postgresql.Connect(t, server.URL("postgres")), "SELECT string_agg(id, ', ') FROM delivery"); got != "committed" {
				t.Errorf("found %q, want what was committed alone", got)
			}
		})
	}
}

func TestServer_wrongPassword(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	location, err := url.Parse(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	location.User = url.UserPassword(location.User.Username(), "wrong")
	connection, err := pgx.Connect(t.Context(), location.String())
	if err == nil {
		_ = connection.Close(t.Context())
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "28P01" {
		t.Errorf("got %v, want code 28P01, invalid password", err)
	}
}

func TestStart_settings(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, map[string]string{"max_connections": "33", "application_name": "it's a test"})
	connection := postgresql.Connect(t, server.URL("postgres"))
	for name, want := range map[string]string{
		"max_connections":    "33",
		"application_name":   "it's a test",
		"listen_addresses":   "127.0.0.1",
		"server_encoding":    "UTF8",
		"fsync":              "on",
		"full_page_writes":   "on",
		"synchronous_commit": "on",
	} {
		if got := mustRead(t, connection, "SHOW "+name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestStartStandby(t *testing.T) {
	t.Parallel()
	primary := postgresql.Server(t, map[string]string{"synchronous_standby_names": "*"})
	standby := postgresql.StandbyOf(t, primary, primary.Address())
	// The statement returns when the standby has its data.
	postgresql.Execute(t, primary.URL("postgres"), "CREATE TABLE ticket (id text)")
	connection := postgresql.Connect(t, standby.URL("postgres"))
	mustRead(t, connection, "SELECT pg_is_in_recovery()::text")
	primary.Kill()
	mustRead(t, connection, "SELECT pg_promote()::text")
	postgresql.Execute(t, standby.URL("postgres"), "INSERT INTO ticket VALUES ('1')")
}

func TestStart_failureLeavesNothing(t *testing.T) {
	t.Parallel()
	postgresql.RequireBinaries(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx      context.Context
		settings map[string]string
		want     error
		text     string
	}{
		"a setting that there isn't": {t.Context(), map[string]string{"no_such_setting": "1"}, process.ErrExited, "no_such_setting"},
		"a context that has ended":   {ended, nil, context.Canceled, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := reachableFolder(t)
			server, err := postgresserver.Start(test.ctx, postgresserver.Options{Dir: folder, Settings: test.settings})
			if err == nil {
				t.Error(server.Close())
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %v with %q", err, test.want, test.text)
			}
			if left, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v (%v)", left, err)
			}
		})
	}
}

func TestServer_Stop_killsAfterItsContext(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	// A context that has ended gives the server no time to stop.
	if err := server.Stop(ended); !errors.Is(err, process.ErrKilled) {
		t.Errorf("got %v, want ErrKilled", err)
	}
	if connection, err := net.Dial("tcp", server.Address()); err == nil {
		t.Error("something still listens")
		_ = connection.Close()
	}
}

func TestServer_CPU_countsEndedBackends(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	connection := postgresql.Connect(t, server.URL("postgres"))
	before, err := server.CPU()
	if errors.Is(err, process.ErrNotMeasured) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	worked := before
	for worked < before+100*time.Millisecond {
		mustExecute(t, connection, "SELECT count(*) FROM generate_series(1, 100000)")
		if worked, err = server.CPU(); err != nil {
			t.Fatal(err)
		}
	}
	backend := "/proc/" + mustRead(t, connection, "SELECT pg_backend_pid()::text")
	if err := connection.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the backend ends", func() bool {
		_, err := os.Stat(backend)
		return errors.Is(err, os.ErrNotExist)
	})
	if after, err := server.CPU(); err != nil || after < worked {
		t.Errorf("after the backend has ended: %v (%v), want no less than %v", after, err, worked)
	}
	server.Kill()
	if _, err := server.CPU(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("after the server has ended: %v, want os.ErrProcessDone", err)
	}
}

// reachableFolder returns a new folder that each account of the machine can reach. A folder of [testing.T.TempDir] can't be reached.
func reachableFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "ticketbridge-postgresserver-") //nolint:usetesting // The comment above has the reason.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// eventually waits until condition is true. It polls, because the end of another process's child gives no signal.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !condition() {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
