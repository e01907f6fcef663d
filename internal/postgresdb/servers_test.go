package postgresdb_test

import (
	"context"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestServers_order(t *testing.T) {
	t.Parallel()
	resolve := func(_ context.Context, host string) ([]string, error) {
		return map[string][]string{"a": {"10.0.0.1"}, "b": {"10.0.0.2"}, "six": {"fd00::1"},
			"many": {"10.0.1.1", "10.0.1.2", "10.0.1.3"}}[host], nil
	}
	for _, test := range []struct{ name, hosts, answered, hung, want string }{
		{"nothing is known", "a:1,b:2", "", "", "10.0.0.1:1 10.0.0.2:2"},
		{"the second answered", "a:1,b:2", "10.0.0.2:2", "", "10.0.0.2:2 10.0.0.1:1"},
		{"the first answered", "a:1,b:2", "10.0.0.1:1", "", "10.0.0.1:1 10.0.0.2:2"},
		{"the first hangs", "a:1,b:2,six:3", "", "10.0.0.1:1", "10.0.0.2:2 [fd00::1]:3 10.0.0.1:1"},
		{"one answered and one hangs", "a:1,b:2,six:3", "[fd00::1]:3", "10.0.0.1:1", "[fd00::1]:3 10.0.0.2:2 10.0.0.1:1"},
		{"two on one machine", "a:1,a:2", "10.0.0.1:2", "10.0.0.1:1", "10.0.0.1:2 10.0.0.1:1"},
		{"an address of a name", "many:1", "10.0.1.2:1", "10.0.1.1:1", "10.0.1.2:1 10.0.1.3:1 10.0.1.1:1"},
		{"one that is no longer named", "a:1,b:2", "10.9.9.9:1", "10.9.9.8:1", "10.0.0.1:1 10.0.0.2:2"},
	} {
		tried, err := postgresdb.SortedHosts(t.Context(), "postgres://u@"+test.hosts+"/db?sslmode=disable", test.answered, test.hung, resolve)
		if got := strings.Join(tried, " "); err != nil || got != test.want {
			t.Errorf("%s: %s, %v; want %s", test.name, got, err, test.want)
		}
	}
	socket := "/run/postgresql/.s.PGSQL.2"
	tried, err := postgresdb.SortedHosts(t.Context(), "postgres://u@/db?host=/run/postgresql,/run/postgresql&port=1,2", socket, "", resolve)
	if want := []string{socket, "/run/postgresql/.s.PGSQL.1"}; err != nil || !slices.Equal(tried, want) {
		t.Errorf("sockets: %v, %v; want %v", tried, err, want)
	}
}

// A primary that hangs accepts all connections and answers none. Its standby takes over.
func TestWrite_leavesAPrimaryThatHangs(t *testing.T) {
	t.Parallel()
	// So that the standby has the tables.
	primary := postgresql.Server(t, map[string]string{"synchronous_standby_names": "*"})
	standby := postgresql.StandbyOf(t, primary, primary.Address())
	proxy, through := postgresql.NewProxy(t, primary.URL("postgres"))
	db := mustOpen(t, options(edited(t, through, func(u *url.URL) { u.Host += "," + standby.Address() })))
	db.SetTimeouts(limit, limit)
	db.SetHangTimeout(100 * time.Millisecond)
	fill(t, db)
	proxy.Hang()
	defer proxy.Resume()
	mustExec(t, postgresql.Connect(t, standby.URL("postgres")), "SELECT pg_promote()")
	var writes errgroup.Group
	for id := range 3 {
		writes.Go(func() error { return db.Write(t.Context(), inserting(id)) })
	}
	if err := writes.Wait(); err != nil {
		t.Errorf("Write while the primary hangs = %v", err)
	}
	before := proxy.Accepted()
	for range 3 {
		db.Pool().Reset()
		if err := db.Write(t.Context(), inserting(1)); err != nil {
			t.Errorf("Write with a new connection = %v", err)
		}
	}
	if after := proxy.Accepted(); after != before {
		t.Errorf("the server that hangs was tried %d times more", after-before)
	}
}

// A write that waits for the standby is not cancelled, because the server answers.
func TestWrite_waitsForAServerThatAnswers(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	proxy, through := postgresql.NewProxy(t, server.URL("postgres"))
	db := mustOpen(t, options(through))
	db.SetTimeouts(limit, limit)
	fill(t, db)
	standby := postgresql.LoseStandby(t, server)
	db.SetHangTimeout(0)
	before, runs := proxy.Accepted(), 0
	result, waits := standby.Begin(t, "test", func() error { return db.Write(t.Context(), insertingOnce(1, &runs)) })
	if !waits {
		t.Fatalf("Write did not wait for the standby: %v", <-result)
	}
	// The server is asked for a connection, which is closed again.
	for begin := time.Now(); proxy.Accepted() == before; runtime.Gosched() {
		if time.Since(begin) > limit {
			t.Fatal("the server was not asked")
		}
	}
	standby.Return(t)
	if err := <-result; err != nil || runs != 1 {
		t.Errorf("Write after the standby is back = %v after %d runs, want success with the 1st", err, runs)
	}
}
