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

// TestServe_unusablePostgreSQL checks the error of an unusable database at the start: one line, without the password.
func TestServe_unusablePostgreSQL(t *testing.T) {
	t.Parallel()
	for name, database := range postgresql.UnusableDatabases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // The limit is for a service that starts in spite of the error.
			defer cancel()
			var stderr strings.Builder
			code := run(ctx, []string{"--database-url=" + database.URL}, environment(nil), io.Discard, &stderr)
			line := stderr.String()
			if code != settings.ExitSettings || strings.Count(line, "\n") != 1 || !strings.Contains(line, database.Told) ||
				!strings.HasPrefix(line, "ticketsvc: --database-url / TICKETSVC_DATABASE_URL: ") || strings.Contains(line, database.Password) {
				t.Errorf("exit code %d, %q; want %d and one line with %q", code, line, settings.ExitSettings, database.Told)
			}
		})
	}
}
