package postgresql

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

// Standby is a synchronous standby that does not answer, so each commit of the primary waits.
type Standby struct {
	admin *pgx.Conn
}

const (
	waitingForStandby = " FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = $1"
	probeName         = "standby-probe"
)

// LoseStandby makes all commits of a server wait for a missing standby, until [Standby.Return] or the end of the test.
func LoseStandby(t testing.TB, server *postgresserver.Server) *Standby {
	t.Helper()
	s := &Standby{admin: Connect(t, server.URL("postgres"))}
	s.configure(t, "away")
	// The server applies the setting with a delay. It has applied the setting when a commit waits.
	ctx, cancel := context.WithCancel(context.Background())
	probed := make(chan struct{})
	conn := Connect(t, server.URL("postgres")+"&application_name="+probeName)
	go func() {
		defer close(probed)
		for ctx.Err() == nil {
			_, _ = conn.Exec(ctx, "SELECT pg_logical_emit_message(true, 'probe', '')")
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-probed
		s.Return(t)
	})
	s.awaitSession(t, probeName, nil)
	return s
}

// Return ends the wait: all waiting and all later commits are confirmed.
func (s *Standby) Return(t testing.TB) {
	t.Helper()
	s.configure(t, "")
}

func (s *Standby) configure(t testing.TB, names string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + names + "'", "SELECT pg_reload_conf()"} {
		if _, err := s.admin.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
}

// Begin begins call, and returns when a session with that application's name waits for the standby. waits is false if call returned before
// a session waited. result receives call's error.
func (s *Standby) Begin(t testing.TB, application string, call func() error) (result <-chan error, waits bool) {
	t.Helper()
	errs, returned := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(returned)
		errs <- call()
	}()
	return errs, s.awaitSession(t, application, returned)
}

// Cancel cancels the sessions with that application's name that wait for the standby: each commits without the standby.
func (s *Standby) Cancel(t testing.TB, application string) {
	t.Helper()
	s.end(t, "pg_cancel_backend(pid)", application)
}

// Terminate terminates the sessions with that application's name that wait for the standby: each commits without the standby. It returns
// when these sessions have ended.
func (s *Standby) Terminate(t testing.TB, application string) {
	t.Helper()
	s.end(t, "pg_terminate_backend(pid, 10000)", application)
}

func (s *Standby) end(t testing.TB, function, application string) {
	t.Helper()
	var ended int
	if err := s.admin.QueryRow(t.Context(), "SELECT count("+function+")"+waitingForStandby, application).Scan(&ended); err != nil {
		t.Fatal(err)
	}
	if ended == 0 {
		t.Fatalf("no session of %s waits for the standby", application)
	}
}

// awaitSession returns true when a session with that application's name waits for the standby, and false if returned is closed before.
func (s *Standby) awaitSession(t testing.TB, application string, returned <-chan struct{}) bool {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < limit; {
		var waiting int
		if err := s.admin.QueryRow(t.Context(), "SELECT count(*)"+waitingForStandby, application).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting > 0 {
			return true
		}
		select {
		case <-returned:
			return false
		default:
		}
	}
	t.Fatalf("no session of %s waits for the standby after %v", application, limit)
	return false
}
