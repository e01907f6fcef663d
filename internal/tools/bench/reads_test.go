package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newTestReads returns a short measurement on the real service.
func newTestReads(t *testing.T, b *bench) *reads {
	t.Helper()
	return &reads{b, readsCommand{settings: settings{Rounds: 2}, Ticketsvc: commands.Path(t, "ticketsvc")}, readScale{
		few: 1000, many: 2000, page: 3, calls: 4, watchers: 3, crowd: 2, writing: 50 * time.Millisecond, paced: 100 * time.Millisecond,
	}}
}

func TestReads_measuresEachVariant(t *testing.T) {
	t.Parallel()
	b := newTestBench(t, false)
	if err := newTestReads(t, b).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectReads(t, b, sqlite)
}

func TestReads_measuresEachVariantOnPostgreSQL(t *testing.T) {
	t.Parallel()
	b := newTestBench(t, true)
	mustStartPostgres(t, b)
	if err := newTestReads(t, b).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectReads(t, b, sqlite, postgreSQL)
}

func expectReads(t *testing.T, b *bench, engines ...string) {
	t.Helper()
	var ratios, lags, wantLags []string
	for _, engine := range engines {
		for _, variant := range []string{"GetTicket", "GetTicket", "ListTickets, update_time desc", "ListTickets, create_time",
			"ListTickets, open ones", "GetTicketStats, all", "GetTicketStats, of an app", "GetTicketStats, open ones", "GetTicketStats, unassigned",
			"GetTicketStats, of a property"} {
			ratios = append(ratios, variant+", "+engine+", replicas 1, connections 1")
		}
		ratios[len(ratios)-9] = "GetTicket, " + engine + ", replicas 1, connections 32"
	}
	for _, engine := range engines {
		recording := "recording, 3 watch a property each, " + engine + ", replicas 1, connections 256"
		ratios = append(ratios, recording, recording+", until delivered")
		for _, variant := range []string{"1 watch everything, 500 events/s", "3 watch a property each, 500 events/s",
			"2 watch everything, 300 events/s", "3 watch everything, 10 events/s"} {
			wantLags = append(wantLags, "lag, "+variant+", "+engine+" p50", "lag, "+variant+", "+engine+" p99")
		}
	}
	expectFigures(t, b.results, 2, ratios)
	for _, f := range b.results.figures {
		if strings.HasPrefix(f.what, "p") && f.unit == "ms" {
			lags = append(lags, fmt.Sprintf("%s, %s %s", f.variant, f.engine, f.what))
		}
	}
	if diff := cmp.Diff(wantLags, lags); diff != "" {
		t.Error(diff)
	}
}

func TestReads_aServiceThatDoesNotStartEndsTheRun(t *testing.T) {
	t.Parallel()
	r := newTestReads(t, newTestBench(t, false))
	r.Ticketsvc = filepath.Join(t.TempDir(), "missing")
	if err := r.run(t.Context()); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("got %v, want the binary named", err)
	}
}

func TestReads_aPageThatIsNotThereEndsTheRun(t *testing.T) {
	t.Parallel()
	r := newTestReads(t, newTestBench(t, false))
	r.page = 30
	if err := r.run(t.Context()); err == nil || !strings.Contains(err.Error(), "a page has") {
		t.Errorf("got %v, want the short page", err)
	}
}
