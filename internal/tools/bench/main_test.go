package main

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

func TestMain(m *testing.M) {
	// What the benchmark starts as the bare handler is its own binary, here this one.
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		main()
	}
	goleak.VerifyTestMain(commands.Main(m))
}

func TestRun_noise(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"noise", "--quick", "--dir", t.TempDir()}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	if !strings.Contains(stdout.String(), "bare against itself  none    1         256") || !strings.Contains(stderr.String(), "round 1 of 1") {
		t.Errorf("printed\n%s%s", &stdout, &stderr)
	}
}

func TestRun_compare(t *testing.T) {
	t.Parallel()
	gateway := commands.Path(t, "gateway")
	var stdout, stderr bytes.Buffer
	args := []string{"compare", "--quick", "--no-postgres", "--gateway", gateway, "--base", gateway, "--dir", t.TempDir()}
	if status := run(t.Context(), args, &stdout, &stderr); status != exitMet {
		t.Fatalf("exit status %d: %s", status, &stderr)
	}
	// On a busy machine a short turn may have no answer, and then its ratio is not a number.
	figures := regexp.MustCompile(`SQLite, replicas 1, connections (64|256): rate \S+ ± \S+ %, CPU an event \S+ ± \S+ %`)
	if got := len(figures.FindAllString(stderr.String(), -1)); got != 2 {
		t.Errorf("%d figures, want 2: %s", got, &stderr)
	}
}

func TestRun_reportsAFailure(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	args := []string{"--quick", "--no-postgres", "--gateway", "missing-gateway", "--ticketsvc", "missing-ticketsvc", "--dir", t.TempDir()}
	if status := run(t.Context(), args, &stdout, &stderr); status != 1 || !strings.Contains(stderr.String(), "round 1: ") {
		t.Errorf("status %d, want 1\n%s%s", status, &stdout, &stderr)
	}
}

func TestFindPostgres_leavesItOutLoudlyUnlessItIsWanted(t *testing.T) {
	t.Parallel()
	missing := func() (string, error) { return "", postgresserver.ErrNotInstalled }
	found := func() (string, error) { return "/bin", nil }
	yes, no := true, false
	for name, test := range map[string]struct {
		wanted         *bool
		find           func() (string, error)
		measured, loud bool
		err            error
	}{
		"not said, and found":   {nil, found, true, false, nil},
		"not said, and missing": {nil, missing, false, true, nil},
		"wanted":                {&yes, found, true, false, nil},
		"wanted, and missing":   {&yes, missing, false, false, postgresserver.ErrNotInstalled},
		"not wanted":            {&no, found, false, false, nil},
	} {
		measured, leftOut, err := findPostgres(test.wanted, test.find)
		if measured != test.measured || strings.Contains(leftOut, "LEFT OUT") != test.loud || !errors.Is(err, test.err) {
			t.Errorf("%s: measured %v, says %q, %v", name, measured, leftOut, err)
		}
	}
}

func TestRun_wrongUsage(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"nothing to measure": nil,
		"one binary":         {"--gateway", "x"},
		"noise and binaries": {"noise", "--gateway", "x", "--ticketsvc", "y"},
		"noise and database": {"noise", "--postgres"},
		"unknown":            {"noise", "--qiuck"},
		"reads of nothing":   {"reads"},
		"rounds of nothing":  {"noise", "--rounds", "many"},
		"no rounds":          {"noise", "--rounds", "0"},
		"no rounds of reads": {"reads", "--ticketsvc", "x", "--rounds", "0"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), args, &stdout, &stderr); status != 2 || stderr.Len() == 0 {
			t.Errorf("%s: status %d, want 2 and a reason\n%s", name, status, &stderr)
		}
	}
}

func TestRun_reportsAFailureOfReads(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	args := []string{"reads", "--quick", "--no-postgres", "--ticketsvc", "missing-ticketsvc", "--dir", t.TempDir()}
	if status := run(t.Context(), args, &stdout, &stderr); status != 1 || !strings.Contains(stderr.String(), "missing-ticketsvc") {
		t.Errorf("status %d, want 1\n%s%s", status, &stdout, &stderr)
	}
}

func TestRun_help(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	status := max(run(t.Context(), []string{"--help"}, &stdout, &stderr), run(t.Context(), []string{"run", "--help"}, &stdout, &stderr))
	for _, want := range []string{"durable accept", "--profile-dir", "exit status"} {
		if status != 0 || !strings.Contains(stdout.String(), want) {
			t.Errorf("status %d, help lacks %q:\n%s", status, want, &stdout)
		}
	}
}
