package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// A wrong database is reported in one line when the service starts, without the password.
func TestRun_databaseThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, database := range postgresql.UnusableDatabases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // in case it starts after all
			defer cancel()
			var stderr strings.Builder
			code := run(ctx, []string{"--database-url=" + database.URL}, env(t), nil, io.Discard, &stderr)
			line := stderr.String()
			if code != settings.ExitSettings || strings.Count(line, "\n") != 1 || !strings.Contains(line, database.Told) ||
				!strings.HasPrefix(line, "gateway: --database-url / GATEWAY_DATABASE_URL: ") || strings.Contains(line, database.Password) {
				t.Errorf("exit code %d, %q; want %d and one line with %q", code, line, settings.ExitSettings, database.Told)
			}
		})
	}
}
