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

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/bench"
	"github.com/ticketbridge/ticketbridge/internal/process"
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
		goleak.VerifyTestMain(m)
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
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(os.Getenv("TICKETSVC_DATABASE_URL"), "sqlite:")+"?_pragma=journal_mode(WAL)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "CREATE TABLE events (sequence INTEGER PRIMARY KEY)"); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", os.Getenv("TICKETSVC_LISTEN")) // before the admin address says that it is ready
	if err != nil {
		return err
	}
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			_, _ = db.ExecContext(ctx, "INSERT INTO events DEFAULT VALUES")
		}))
	}()
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/debug/pprof/profile", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a profile") })
	go func() { _ = http.ListenAndServe(os.Getenv("TICKETSVC_ADMIN_LISTEN"), http.DefaultServeMux) }()
	<-ctx.Done()
	return db.Close()
}

func options(t *testing.T) bench.Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return bench.Options{
		Gateway: self, Ticketsvc: self, Bare: process.Command{Path: self, Args: []string{"bare"}},
		Dir: filepath.Join(t.TempDir(), "dir"), Rounds: 1, Duration: time.Second, Sustained: time.Second, Events: 600,
		Progress: io.Discard,
	}
}

func TestRunMeasuresEveryVariantAndCleansUp(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.ProfileDir = filepath.Join(t.TempDir(), "profiles")
	report, err := bench.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Comparisons {
		if len(c.Rates) != 1 || len(c.Bare) != 1 || c.Ratios()[0] <= 0 {
			t.Errorf("%s: %+v, want one round with a ratio", c.Variant, c)
		}
	}
	if got := len(report.Comparisons); got != 3 {
		t.Errorf("%d comparisons, want 3", got)
	}
	var printed bytes.Buffer
	if err := report.Print(&printed, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"durable accept ", "accept to applied", "load generator", "ticketsvc", "not judged", " cores, "} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("report lacks %q:\n%s", want, &printed)
		}
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if profiles, err := os.ReadDir(o.ProfileDir); err != nil || len(profiles) != 4 {
		t.Errorf("profiles: %v, %v, want one for each process and variant", profiles, err)
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
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestReportJudges(t *testing.T) {
	t.Parallel()
	met := bench.Comparison{Variant: "met", Connections: 64, Target: 0.4, Bare: []float64{100, 100, 100}, Rates: []float64{90, 40, 10}}
	missed := bench.Comparison{Variant: "missed", Connections: 64, Target: 0.4, Bare: []float64{100, 200}, Rates: []float64{50, 50}}
	if !met.Met() || missed.Met() {
		t.Errorf("met %v, missed %v: want the lower median of the pairwise ratios to decide", met.Met(), missed.Met())
	}
	report := bench.Report{Comparisons: []bench.Comparison{met, missed}, Uses: []bench.Use{{Process: "p", During: "d"}}}
	if report.Met() {
		t.Error("a report with a missed target is met")
	}
	var printed bytes.Buffer
	if err := report.Print(&printed, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.10–0.90", "≥ 0.40", "MISSED", "not measured"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("report lacks %q:\n%s", want, &printed)
		}
	}
}
