package bench_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
	"github.com/ticketbridge/ticketbridge/internal/tools/bench"
)

// The test binary is also the processes that the benchmark starts: which one shows in its arguments and environment.
func TestMain(m *testing.M) {
	var serve func(context.Context) error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "bare":
		serve = func(ctx context.Context) error { return bench.ServeBare(ctx, os.Args[2], os.Args[3]) }
	case os.Getenv("GATEWAY_LISTEN") != "":
		serve = serveGateway
	case os.Getenv("TICKETSVC_LISTEN") != "":
		serve = serveTicketsvc
	default:
		goleak.VerifyTestMain(commands.Main(m))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serveGateway stands in for the gateway: it forwards before it answers, and stores nothing. Without ticketsvc it accepts all the same.
func serveGateway(ctx context.Context) error {
	bare, ticketsvc := bench.Bare(os.Getenv("GATEWAY_WEBHOOK_SECRET")), os.Getenv("GATEWAY_TICKETSVC_URL")
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/debug/pprof/profile", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a profile") })
	listener, err := net.Listen("tcp", os.Getenv("GATEWAY_LISTEN")) // before the admin address says that it is ready
	if err != nil {
		return err
	}
	go func() { _ = http.ListenAndServe(os.Getenv("GATEWAY_ADMIN_LISTEN"), http.DefaultServeMux) }()
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if response, err := http.Post(ticketsvc, "", nil); err == nil {
				_ = response.Body.Close()
			}
			bare.ServeHTTP(w, r)
		}))
	}()
	<-ctx.Done()
	return nil
}

// serveTicketsvc stands in for ticketsvc: each request makes a row.
func serveTicketsvc(ctx context.Context) error {
	db, table, err := openEvents(ctx, os.Getenv("TICKETSVC_DATABASE_URL"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", os.Getenv("TICKETSVC_LISTEN")) // before the admin address says that it is ready
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			_, _ = db.ExecContext(ctx, "INSERT INTO "+table+" DEFAULT VALUES")
		}))
	}()
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/debug/pprof/profile", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a profile") })
	go func() { _ = http.ListenAndServe(os.Getenv("TICKETSVC_ADMIN_LISTEN"), http.DefaultServeMux) }()
	<-ctx.Done()
	return db.Close()
}

// openEvents opens a database, and makes the table whose rows are counted unless another replica has.
func openEvents(ctx context.Context, url string) (db *sql.DB, table string, err error) {
	create := "CREATE TABLE events (sequence INTEGER PRIMARY KEY)"
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		table = "events"
		db, err = sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	} else {
		table = "ticketsvc.events"
		create = "CREATE SCHEMA IF NOT EXISTS ticketsvc; CREATE TABLE IF NOT EXISTS ticketsvc.events (sequence bigserial PRIMARY KEY)"
		db, err = sql.Open("pgx", url)
	}
	if err != nil {
		return nil, "", err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, create)
	return db, table, err
}

func options(t *testing.T) bench.Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return bench.Options{
		Gateway: self, Ticketsvc: self, Bare: process.Command{Path: self, Args: []string{"bare"}},
		Dir: filepath.Join(t.TempDir(), "dir"), Rounds: 1, Duration: time.Second, Sustained: time.Second,
		SustainedPostgres: time.Second, Events: 600, Progress: io.Discard,
	}
}

// reachableFolder returns a new folder that every account can reach, as PostgreSQL has to when this process runs as root; one of
// [testing.T.TempDir] isn't.
func reachableFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "ticketbridge-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestRunMeasuresEveryVariantAndCleansUp(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.ProfileDir = filepath.Join(t.TempDir(), "profiles")
	report, err := bench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	expectParts(t, report, []string{
		"durable accept, SQLite, 64 connections",
		"durable accept, SQLite, 256 connections",
		"accept to applied, sustained, SQLite, 256 connections",
	})
	expectPrinted(t, report, false, "durable accept ", "accept to applied", "load generator", "ticketsvc", "not judged", " cores, ")
	expectNothingLeft(t, o.Dir)
	if profiles, err := os.ReadDir(o.ProfileDir); err != nil || len(profiles) != 4 {
		t.Errorf("profiles: %v, %v, want one for each process and variant", profiles, err)
	}
}

func TestRunMeasuresReplicasOnPostgreSQLAndCleansUp(t *testing.T) {
	t.Parallel()
	postgresql.RequireBinaries(t)
	o := options(t)
	o.Postgres, o.Dir, o.ProfileDir = true, filepath.Join(reachableFolder(t), "dir"), filepath.Join(t.TempDir(), "profiles")
	report, err := bench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	expectParts(t, report, []string{
		"durable accept, SQLite, 64 connections",
		"durable accept, PostgreSQL, 64 connections",
		"durable accept, SQLite, 256 connections",
		"durable accept, PostgreSQL, 256 connections",
		"accept to applied, sustained, SQLite, 256 connections",
		"accept to applied, sustained, PostgreSQL, 256 connections",
		"accept to applied, sustained, PostgreSQL, 2 replicas, 256 connections",
		"accept to applied, sustained, PostgreSQL, 4 replicas, 256 connections",
	})
	for _, u := range report.Uses {
		if u.Process != bench.PostgreSQL || !u.Measured {
			continue
		}
		// With one replica one process of the server commits everything, and so for longer than the time is counted in.
		single := u.During.Replicas == 1 && u.During.Variant == "accept to applied, sustained"
		if u.During.Engine != bench.PostgreSQL || single && u.CPUPerEvent[0] <= 0 {
			t.Errorf("PostgreSQL used %v an event during %v", u.CPUPerEvent, u.During)
		}
	}
	expectPrinted(t, report, false, "fsync on", "synchronous_commit on", "full_page_writes on")
	expectNothingLeft(t, o.Dir)
	if profiles, err := os.ReadDir(o.ProfileDir); err != nil || len(profiles) != 12 {
		t.Errorf("profiles: %v, %v, want one for each service and part, of all replicas together", profiles, err)
	}
}

func TestPostgreSQLIsElsewhereWhereItCannotReach(t *testing.T) {
	t.Parallel()
	postgresql.RequireBinaries(t)
	if os.Geteuid() != 0 {
		t.Skip("PostgreSQL runs as the account of this test, which can reach all its folders")
	}
	o := options(t)
	o.Postgres, o.Gateway, o.Ticketsvc = true, "", ""
	report, err := bench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	expectPrinted(t, report, false, "ITS DATA IS IN "+os.TempDir())
}

// expectParts checks that these parts have a ratio of one round each, with the same order.
func expectParts(t *testing.T, report bench.Report, want []string) {
	t.Helper()
	var got []string
	for _, c := range report.Comparisons {
		got = append(got, c.String())
		if len(c.Rates) != 1 || len(c.Bare) != 1 || c.Ratios()[0] <= 0 {
			t.Errorf("%v: %+v, want one round with a ratio", c.Part, c)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// expectPrinted checks that the report has these texts.
func expectPrinted(t *testing.T, report bench.Report, judged bool, texts ...string) {
	t.Helper()
	var printed bytes.Buffer
	if err := report.Print(&printed, judged); err != nil {
		t.Fatal(err)
	}
	for _, want := range texts {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("report lacks %q:\n%s", want, &printed)
		}
	}
}

func expectNothingLeft(t *testing.T, folder string) {
	t.Helper()
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRunWithoutGatewayMeasuresTheNoise(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Gateway, o.Ticketsvc, o.Rounds = "", "", 2
	report, err := bench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Comparisons) != 2 || len(report.Comparisons[1].Rates) != 2 || !report.Met() {
		t.Errorf("got %+v, want two comparisons of two rounds without a target", report.Comparisons)
	}
}

func TestAServiceThatDoesNotStartEndsTheRun(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Gateway = filepath.Join(t.TempDir(), "missing")
	if _, err := bench.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("got %v, want the binary named", err)
	}
	expectNothingLeft(t, o.Dir)
}

func TestAServiceThatDoesNotStartOnPostgreSQLEndsTheRun(t *testing.T) {
	t.Parallel()
	postgresql.RequireBinaries(t)
	o := options(t)
	o.Postgres, o.Dir, o.Gateway = true, filepath.Join(reachableFolder(t), "dir"), filepath.Join(t.TempDir(), "missing")
	if _, err := bench.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("got %v, want the binary named", err)
	}
	expectNothingLeft(t, o.Dir)
}

func TestReportJudges(t *testing.T) {
	t.Parallel()
	part := bench.Part{Variant: "variant", Engine: bench.SQLite, Replicas: 1, Connections: 64}
	met := bench.Comparison{Part: part, Target: 0.4, Bare: []float64{100, 100, 100}, Rates: []float64{90, 40, 10}}
	missed := bench.Comparison{Part: part, Target: 0.4, Bare: []float64{100, 200}, Rates: []float64{50, 50}}
	if !met.Met() || missed.Met() {
		t.Errorf("met %v, missed %v: want the lower median of the pairwise ratios to decide", met.Met(), missed.Met())
	}
	report := bench.Report{Comparisons: []bench.Comparison{met, missed}, Uses: bench.Uses{{Process: "p", During: part}}}
	if report.Met() {
		t.Error("a report with a missed target is met")
	}
	expectPrinted(t, report, true, "0.10–0.90", "≥ 0.40", "MISSED", "not measured")
}

func TestReportLinesUp(t *testing.T) {
	t.Parallel()
	accept := bench.Part{Variant: "accept", Engine: bench.PostgreSQL, Replicas: 2, Connections: 256}
	bare := bench.Part{Variant: "bare", Replicas: 1, Connections: 64}
	microsecond := []time.Duration{time.Microsecond}
	report := bench.Report{
		Comparisons: []bench.Comparison{{Part: accept, Bare: []float64{100}, Rates: []float64{20}}},
		Uses: bench.Uses{
			{During: accept, Process: "gateway", Measured: true, CPUPerEvent: microsecond, ResidentBytes: 1 << 20, PeakResidentBytes: 2 << 20},
			{During: accept, Process: "PostgreSQL", Measured: true, CPUPerEvent: microsecond},
			{During: bare, Process: "bare handler"},
		},
	}
	var printed bytes.Buffer
	if err := report.Print(&printed, true); err != nil {
		t.Fatal(err)
	}
	const want = `
variant  engine      replicas  connections  events/s  bare/s  ratio  lowest–highest  target  verdict
accept   PostgreSQL  2         256          20        100     0.20   0.20–0.20       none    not judged

variant  engine      replicas  connections  process       CPU/event     memory at the end  peak memory
accept   PostgreSQL  2         256          gateway       1.0 µs        1 MiB              2 MiB
                                            PostgreSQL    1.0 µs        not measured       not measured
bare     none        1         64           bare handler  not measured  not measured       not measured
`
	_, tables, _ := strings.Cut(printed.String(), "highest\n")
	if diff := cmp.Diff(want, tables); diff != "" {
		t.Error(diff)
	}
}
