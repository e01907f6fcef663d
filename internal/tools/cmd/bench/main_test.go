package main

import (
	"bytes"
	"errors"
	"os"
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
	goleak.VerifyTestMain(m)
}

func TestNoiseIsMeasured(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	args := []string{"--noise", "--rounds", "1", "--warmup", "0s", "--duration", "50ms", "--events", "3000", "--dir", t.TempDir()}
	if status := run(t.Context(), args, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	if !strings.Contains(stdout.String(), "bare against itself  none    1         256") || !strings.Contains(stderr.String(), "round 1 of 1") {
		t.Errorf("printed\n%s%s", &stdout, &stderr)
	}
}

func TestAFailureIsReported(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	args := []string{"--quick", "--no-postgres", "--gateway", "missing-gateway", "--ticketsvc", "missing-ticketsvc", "--events", "3000",
		"--dir", t.TempDir()}
	if status := run(t.Context(), args, &stdout, &stderr); status != 1 || !strings.Contains(stderr.String(), "round 1: ") {
		t.Errorf("status %d, want 1\n%s%s", status, &stdout, &stderr)
	}
}

func TestPostgreSQLIsLeftOutLoudlyUnlessItIsWanted(t *testing.T) {
	t.Parallel()
	missing := func() (string, error) { return "", postgresserver.ErrNotInstalled }
	found := func() (string, error) { return "/bin", nil }
	yes, no := true, false
	for name, test := range map[string]struct {
		command        runCommand
		find           func() (string, error)
		measured, loud bool
		err            error
	}{
		"not said, and found":   {runCommand{}, found, true, false, nil},
		"not said, and missing": {runCommand{}, missing, false, true, nil},
		"wanted":                {runCommand{Postgres: &yes}, found, true, false, nil},
		"wanted, and missing":   {runCommand{Postgres: &yes}, missing, false, false, postgresserver.ErrNotInstalled},
		"not wanted":            {runCommand{Postgres: &no}, found, false, false, nil},
		"noise":                 {runCommand{Noise: true}, found, false, false, nil},
	} {
		measured, leftOut, err := test.command.findPostgres(test.find)
		if measured != test.measured || strings.Contains(leftOut, "LEFT OUT") != test.loud || !errors.Is(err, test.err) {
			t.Errorf("%s: measured %v, says %q, %v", name, measured, leftOut, err)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"nothing to measure": nil,
		"one binary":         {"--gateway", "x"},
		"noise and binaries": {"--noise", "--gateway", "x", "--ticketsvc", "y"},
		"no rounds":          {"--noise", "--rounds", "0"},
		"too long":           {"--noise", "--duration", "2m"},
		"too long there":     {"--noise", "--sustained-postgres", "2m"},
		"noise and database": {"--noise", "--postgres"},
		"unknown":            {"--nosie"},
		"reads of nothing":   {"reads"},
		"few are more":       {"reads", "--ticketsvc", "x", "--fill", "y", "--few", "20000", "--many", "10000", "--page", "2"},
		"no such page":       {"reads", "--ticketsvc", "x", "--fill", "y", "--many", "10000"},
		"too many watchers":  {"reads", "--ticketsvc", "x", "--fill", "y", "--watchers", "5000"},
		"no time":            {"reads", "--ticketsvc", "x", "--fill", "y", "--paced", "0s"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(t.Context(), args, &stdout, &stderr); status != 2 || stderr.Len() == 0 {
			t.Errorf("%s: status %d, want 2 and a reason\n%s", name, status, &stderr)
		}
	}
}

func TestAFailureOfReadsIsReported(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	args := []string{"reads", "--quick", "--no-postgres", "--ticketsvc", "missing-ticketsvc", "--fill", "missing-fill", "--dir", t.TempDir()}
	if status := run(t.Context(), args, &stdout, &stderr); status != 1 || !strings.Contains(stderr.String(), "missing-fill") {
		t.Errorf("status %d, want 1\n%s%s", status, &stdout, &stderr)
	}
}

func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), []string{"--help"}, &stdout, &stderr)
	for _, want := range []string{"Examples:", "--profile-dir", "exit status"} {
		if status != 0 || !strings.Contains(stdout.String(), want) {
			t.Errorf("status %d, help lacks %q:\n%s", status, want, &stdout)
		}
	}
}
