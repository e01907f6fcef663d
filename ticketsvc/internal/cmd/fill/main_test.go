package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestItFillsOnceAndPrintsASample(t *testing.T) {
	t.Parallel()
	args := []string{"--database-url", "sqlite:" + filepath.Join(t.TempDir(), "tickets.db"), "--tickets", "10", "--sample", "3"}
	var stdout, stderr strings.Builder
	if status := run(t.Context(), args, &stdout, &stderr); status != exitFilled || strings.Count(stdout.String(), "\n") != 3 {
		t.Errorf("status %d, printed %q, %s; want three ids", status, &stdout, &stderr)
	}
	if status := run(t.Context(), args, &stdout, &stderr); status != exitFailed || !strings.Contains(stderr.String(), "is not empty") {
		t.Errorf("the second time: status %d, %s", status, &stderr)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"no database":      nil,
		"no such database": {"--database-url", "mysql://user:hush@host/tickets"},
		"no tickets":       {"--database-url", "sqlite:tickets.db", "--tickets", "0"},
		"too many tickets": {"--database-url", "sqlite:tickets.db", "--tickets", "100000000"},
		"unknown":          {"--bogus"},
	} {
		var stdout, stderr strings.Builder
		if status := run(t.Context(), args, &stdout, &stderr); status != exitUsage || stderr.Len() == 0 ||
			strings.Contains(stderr.String(), "hush") {
			t.Errorf("%s: status %d, want 2 and a reason without a password: %s", name, status, &stderr)
		}
	}
}
