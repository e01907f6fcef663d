package postgresdb_test

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// listen returns a channel that receives a value for each call of wake. Listening ends with the test.
func listen(t *testing.T, db *postgresdb.DB, channel string) <-chan struct{} {
	t.Helper()
	woken := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		db.Listen(ctx, channel, func() { woken <- struct{}{} }, func(error) {})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(limit):
			t.Error("Listen did not end with its context")
		}
	})
	return woken
}

func waitWoken(t *testing.T, woken <-chan struct{}, why string) {
	t.Helper()
	select {
	case <-woken:
	case <-time.After(limit):
		t.Fatalf("not woken %s", why)
	}
}

func mustNotify(t *testing.T, db *postgresdb.DB, channel string) {
	t.Helper()
	if err := db.Notify(t.Context(), channel); err != nil {
		t.Fatal(err)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	// Another replica notifies.
	db, admin := mustOpen(t, options(url)), postgresql.Connect(t, url)
	woken := listen(t, mustOpen(t, options(url)), `some "Channel"`)
	waitWoken(t, woken, "at the start")
	for range 3 {
		mustNotify(t, db, "another channel")
		mustNotify(t, db, `some "channel"`)
		mustNotify(t, db, `some "Channel"`)
		waitWoken(t, woken, "by a notification")
	}
	if len(woken) != 0 {
		t.Error("woken by another channel's notification")
	}
	for range 2 {
		if ended := mustRead[int](t, admin, "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"+
			" WHERE datname = current_database() AND query LIKE 'LISTEN %'"); ended != 1 {
			t.Fatalf("%d connections listened, want 1", ended)
		}
		waitWoken(t, woken, "after it has reconnected")
	}
	mustNotify(t, db, `some "Channel"`)
	waitWoken(t, woken, "by a notification after it was cut off")
	if len(woken) != 0 {
		t.Error("woken without a reason")
	}
}

func TestListen_reconnects(t *testing.T) {
	t.Parallel()
	p, through := postgresql.NewProxy(t, postgresql.Database(t))
	db := mustOpen(t, options(withParameter(t, through, "connect_timeout", "1")))
	p.Hang()
	woken := listen(t, db, "news")
	p.Resume()
	waitWoken(t, woken, "after the server answers")
}

// countingAddress returns an address that ends each connection at once, and a channel that receives a value for each.
func countingAddress(t *testing.T) (address string, attempts <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	counted := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			counted <- struct{}{}
		}
	}()
	return listener.Addr().String(), counted
}

func TestListen_reportsAnErrorOnce(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	// Each attempt to connect begins with the other host.
	other, attempts := countingAddress(t)
	db := mustOpen(t, options(edited(t, server.URL("postgres"), func(location *url.URL) { location.Host = other + "," + location.Host })))
	woken, errs := make(chan struct{}, 100), make(chan error, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		db.Listen(ctx, "news", func() { woken <- struct{}{} }, func(err error) { errs <- err })
	}()
	for range 2 {
		waitWoken(t, woken, "at the start, or after the server is back")
		for len(attempts) > 0 {
			<-attempts
		}
		server.Kill()
		select {
		case err := <-errs:
			checkUnavailable(t, "Listen without a server", err)
		case <-time.After(limit):
			t.Fatal("Listen does not report that the server is gone")
		}
		for range 2 {
			waitWoken(t, attempts, "by an attempt to connect again")
		}
		mustRestart(t, server)
	}
	waitWoken(t, woken, "after the server is back")
	cancel()
	<-ended
	if len(errs) != 0 {
		t.Errorf("Listen reports %v too", <-errs)
	}
}

// A notification within a transaction is sent when the transaction commits. A notification outside is sent at once, without a wait for the
// disk.
func TestNotify_keepsTheSettingsOfItsConnection(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(postgresql.Database(t)))
	mustNotify(t, db, "news")
	if err := db.Write(t.Context(), func(_ context.Context, conn *pgx.Conn) error {
		if got := mustRead[string](t, conn, "SHOW synchronous_commit"); got != "on" {
			t.Errorf("synchronous_commit is %s after Notify, want on", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
