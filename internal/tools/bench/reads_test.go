package bench_test

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/internal/testkit/binaries"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/tools/bench"
)

var commands = binaries.New("ticketsvc/cmd/ticketsvc", "ticketsvc/internal/cmd/fill")

// readOptions returns those of a short run, on the real service: who answers these calls can't be played.
func readOptions(t *testing.T) bench.ReadOptions {
	t.Helper()
	return bench.ReadOptions{
		Ticketsvc: commands.Path(t, "ticketsvc"), Fill: commands.Path(t, "fill"), Dir: filepath.Join(t.TempDir(), "dir"),
		Few: 1000, Many: 2000, Page: 3, Rounds: 2, Calls: 4, Watchers: 3, Writing: 50 * time.Millisecond, Paced: 100 * time.Millisecond,
		Progress: io.Discard,
	}
}

func TestReadsAreMeasuredAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	o := readOptions(t)
	report, err := bench.RunReads(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	expectReads(t, report, o, bench.SQLite)
}

func TestReadsAreMeasuredOnPostgreSQLAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	postgresql.RequireBinaries(t)
	o := readOptions(t)
	o.Postgres, o.Dir = true, filepath.Join(reachableFolder(t), "dir")
	report, err := bench.RunReads(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	expectReads(t, report, o, bench.SQLite, bench.PostgreSQL)
}

func expectReads(t *testing.T, report bench.ReadReport, o bench.ReadOptions, engines ...string) {
	t.Helper()
	var wantRatios, ratios, wantLags, lags []string
	for _, engine := range engines {
		for _, variant := range []string{"GetTicket, one call at a time", "GetTicket, 32 at a time", "ListTickets, update_time desc",
			"ListTickets, create_time", "ListTickets, open ones", "GetTicketStats, all", "GetTicketStats, of an app", "GetTicketStats, open ones",
			"GetTicketStats, unassigned", "GetTicketStats, of a property"} {
			wantRatios = append(wantRatios, engine+" "+variant)
		}
		wantLags = append(wantLags, engine+" 1 watches everything: 50", engine+" 3 watch a property each: 50", engine+" 3 watch everything: 3")
	}
	for _, engine := range engines {
		wantRatios = append(wantRatios, engine+" recording, 3 watch a property each", engine+" recording, 3 watch a property each, until told")
	}
	for _, r := range report.Ratios {
		ratios = append(ratios, r.Engine+" "+r.Variant)
		if got := r.Ratios(); len(got) != o.Rounds || got[0] <= 0 {
			t.Errorf("%s %s: %v, want a ratio for each of %d rounds", r.Engine, r.Variant, got, o.Rounds)
		}
	}
	for _, l := range report.Lags {
		lags = append(lags, fmt.Sprintf("%s %s: %d", l.Engine, l.Variant, l.Messages))
		if l.P50 > l.P99 || l.P99 > l.Longest || l.Call <= 0 {
			t.Errorf("%+v", l)
		}
	}
	if diff := cmp.Diff(wantRatios, ratios); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantLags, lags); diff != "" {
		t.Error(diff)
	}
	expectNothingLeft(t, o.Dir)
}

func TestAFailureToFillEndsTheRunAndIsTold(t *testing.T) {
	t.Parallel()
	o := readOptions(t)
	o.Many = 1 << 30
	if _, err := bench.RunReads(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--tickets must be") {
		t.Errorf("got %v, want what fill says", err)
	}
	expectNothingLeft(t, o.Dir)
}

func TestRatiosAreJudgedByTheirBounds(t *testing.T) {
	t.Parallel()
	rounds := func(compared ...float64) (base, all []float64) {
		for range compared {
			base = append(base, 100)
		}
		return base, compared
	}
	for name, test := range map[string]struct {
		ratio    bench.Ratio
		compared []float64
		met      bool
	}{
		"at the most, met":           {bench.Ratio{AtMost: 1.5}, []float64{900, 150, 90}, true},
		"at the most, missed":        {bench.Ratio{AtMost: 1.5}, []float64{151, 152, 90}, false},
		"at the most, of two rounds": {bench.Ratio{AtMost: 1.5}, []float64{90, 151}, false},
		"at least, met":              {bench.Ratio{AtLeast: 0.7}, []float64{70, 10, 90}, true},
		"at least, missed":           {bench.Ratio{AtLeast: 0.7}, []float64{69, 10, 90}, false},
		"at least, of two rounds":    {bench.Ratio{AtLeast: 0.7}, []float64{69, 90}, false},
		"without bounds":             {bench.Ratio{}, []float64{1}, true},
	} {
		test.ratio.Base, test.ratio.Compared = rounds(test.compared...)
		if test.ratio.Met() != test.met || (bench.ReadReport{Ratios: []bench.Ratio{test.ratio}}).Met() != test.met {
			t.Errorf("%s: met %v", name, !test.met)
		}
	}
}

func TestReadReportLinesUp(t *testing.T) {
	t.Parallel()
	report := bench.ReadReport{
		Postgres: "PostgreSQL 99", Few: 10_000, Many: 1_000_000, Page: 1000, Watchers: 1000,
		Ratios: []bench.Ratio{
			{Variant: "GetTicket", Engine: bench.SQLite, Unit: "µs", AtMost: 1.5,
				Base: []float64{100, 100, 100}, Compared: []float64{160, 120, 160}},
			{Variant: "recording", Engine: bench.PostgreSQL, Unit: "/s", AtLeast: 0.7, Base: []float64{5000}, Compared: []float64{4000}},
		},
		Lags: []bench.Lag{{Variant: "everybody", Engine: bench.SQLite, Rate: 20, Messages: 2000, P50: time.Millisecond, P99: 2 * time.Millisecond,
			Longest: time.Second, Call: 1500 * time.Microsecond}},
	}
	const wantTables = `
variant    engine      compared  to       ratio  lowest–highest  target  verdict
GetTicket  SQLite      160 µs    100 µs   1.60   1.20–1.60       ≤ 1.50  MISSED
recording  PostgreSQL  4000 /s   5000 /s  0.80   0.80–0.80       ≥ 0.70  met

lag from the answer to who recorded  engine  events/s  messages  p50     p99     longest    median call
everybody                            SQLite  20        2000      1.0 ms  2.0 ms  1000.0 ms  1.5 ms
`
	var printed bytes.Buffer
	if err := report.Print(&printed, true); err != nil {
		t.Fatal(err)
	}
	head, tables, _ := strings.Cut(printed.String(), "highest ratio.\n")
	for _, want := range []string{"PostgreSQL 99", "1,000,000 tickets, compared to that with 10,000", "page 1,000 of 100"} {
		if !strings.Contains(head, want) {
			t.Errorf("the head lacks %q:\n%s", want, head)
		}
	}
	tables, _, _ = strings.Cut(tables, "\nvariant  engine  replicas")
	if diff := cmp.Diff(wantTables, tables); diff != "" {
		t.Error(diff)
	}
}
