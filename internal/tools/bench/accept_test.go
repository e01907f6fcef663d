package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/internal/testkit/binaries"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

var commands = binaries.New("gateway/cmd/gateway", "ticketsvc/cmd/ticketsvc")

// newTestBench returns a run in a folder of the test, and checks at the end of the test that nothing is left. As root, PostgreSQL can't
// reach a folder of [testing.T.TempDir], so a reachable one is elsewhere.
func newTestBench(t *testing.T, reachable bool) *bench {
	t.Helper()
	dir := t.TempDir()
	if reachable {
		var err error
		if dir, err = os.MkdirTemp("", "ticketbridge-bench-"); err != nil { //nolint:usetesting // The comment above says why.
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b, err := newBench(dir, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return b
}

func mustStartPostgres(t *testing.T, b *bench) {
	t.Helper()
	postgresql.RequireBinaries(t)
	if err := b.startPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// newTestAccept returns a short measurement of one round. Its services are the real ones.
func newTestAccept(t *testing.T, b *bench) *accept {
	t.Helper()
	a := newAccept(b, acceptCommand{
		settings: settings{Rounds: 1}, Gateway: commands.Path(t, "gateway"), Ticketsvc: commands.Path(t, "ticketsvc"),
		ProfileDir: filepath.Join(t.TempDir(), "profiles"),
	})
	a.acceptScale = acceptScale{duration: time.Second, sustained: time.Second, events: 600}
	return a
}

// expectFigures checks that these are the figures with a base, each with so many rounds, and expectPrinted that the report has these texts.
func expectFigures(t *testing.T, r results, rounds int, want []string) {
	t.Helper()
	var got []string
	for _, f := range r.figures {
		if len(f.base) == 0 {
			continue
		}
		got = append(got, strings.TrimSuffix(fmt.Sprintf("%v, %s", f.part, f.what), ", "))
		if len(f.measured) != rounds || len(f.base) != rounds || f.compared()[0] <= 0 {
			t.Errorf("%+v, want %d rounds with a ratio", f, rounds)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func expectPrinted(t *testing.T, r results, verdicts bool, texts ...string) {
	t.Helper()
	var printed bytes.Buffer
	if err := r.print(&printed, verdicts); err != nil {
		t.Fatal(err)
	}
	for _, want := range texts {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &printed)
		}
	}
}

func expectProfiles(t *testing.T, a *accept, want int) {
	t.Helper()
	if profiles, err := os.ReadDir(a.ProfileDir); err != nil || len(profiles) != want {
		t.Errorf("profiles: %v, %v, want %d: one for each service and part, of the first replica", profiles, err, want)
	}
}

func TestAccept_measuresEachVariant(t *testing.T) {
	t.Parallel()
	b := newTestBench(t, false)
	a := newTestAccept(t, b)
	if err := a.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectFigures(t, b.results, 1, []string{
		"durable accept, SQLite, replicas 1, connections 64",
		"durable accept, SQLite, replicas 1, connections 256",
		"accept to applied, sustained, SQLite, replicas 1, connections 256",
	})
	expectPrinted(t, b.results, false, "durable accept ", "accept to applied", "CPU an event, load generator", "peak memory, ticketsvc",
		" cores, ")
	expectProfiles(t, a, 4)
}

func TestAccept_measuresReplicasOnPostgreSQL(t *testing.T) {
	t.Parallel()
	b := newTestBench(t, true)
	mustStartPostgres(t, b)
	a := newTestAccept(t, b)
	if err := a.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectFigures(t, b.results, 1, []string{
		"durable accept, SQLite, replicas 1, connections 64",
		"durable accept, PostgreSQL, replicas 1, connections 64",
		"durable accept, SQLite, replicas 1, connections 256",
		"durable accept, PostgreSQL, replicas 1, connections 256",
		"accept to applied, sustained, SQLite, replicas 1, connections 256",
		"accept to applied, sustained, PostgreSQL, replicas 1, connections 256",
		"accept to applied, sustained, PostgreSQL, replicas 2, connections 256",
		"accept to applied, sustained, PostgreSQL, replicas 4, connections 256",
	})
	for _, f := range b.results.figures {
		if f.what == "CPU an event, PostgreSQL" && (f.engine != postgreSQL || f.measured[0] <= 0) {
			t.Errorf("PostgreSQL used %v µs an event during %v", f.measured, f.part)
		}
	}
	expectPrinted(t, b.results, false, "PostgreSQL with its default durability")
	expectProfiles(t, a, 12)
}

func TestAccept_withoutGatewayMeasuresTheNoise(t *testing.T) {
	t.Parallel()
	b := newTestBench(t, false)
	a := newAccept(b, acceptCommand{settings: settings{Rounds: 2}})
	a.acceptScale = acceptScale{duration: time.Second, events: 600}
	if err := a.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectFigures(t, b.results, 2, []string{"bare against itself, none, replicas 1, connections 64",
		"bare against itself, none, replicas 1, connections 256"})
	if !b.results.met() {
		t.Error("noise has no target, and one is missed")
	}
}

func TestStartPostgres_isElsewhereWhereItsAccountCannotReach(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("PostgreSQL runs as the account of this test, which can reach all its folders")
	}
	b := newTestBench(t, false)
	mustStartPostgres(t, b)
	expectPrinted(t, b.results, false, "ITS DATA IS IN "+os.TempDir())
}

func TestAccept_aServiceThatDoesNotStartEndsTheRun(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{sqlite, postgreSQL} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			b := newTestBench(t, true)
			if engine == postgreSQL {
				mustStartPostgres(t, b)
			}
			a := newTestAccept(t, b)
			a.Gateway = filepath.Join(t.TempDir(), "missing")
			if err := a.run(t.Context()); err == nil || !strings.Contains(err.Error(), "missing") {
				t.Errorf("got %v, want the binary named", err)
			}
		})
	}
}
