package main

import (
	"context"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgrestest"
	"github.com/ticketbridge/ticketbridge/internal/settings"
)

// A wrong database is told in one line when the service starts, and without the password.
func TestADatabaseThatCannotBeUsedIsToldInOneLine(t *testing.T) {
	t.Parallel()
	good := mustParse(t, postgrestest.Database(t))
	readOnly := mustParse(t, postgrestest.Database(t))
	mustExec(t, readOnly.String(), "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$")
	with := func(change func(*url.URL)) string {
		changed := *good
		change(&changed)
		return changed.String()
	}
	for name, test := range map[string]struct {
		url  string
		want string
	}{
		"a wrong password":    {with(func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "s3cret") }), "refuses user"},
		"no such database":    {with(func(u *url.URL) { u.Path = "/missing" }), `has no database "missing"`},
		"an unreachable host": {with(func(u *url.URL) { u.Host = "127.0.0.1:1" }), "postgres://127.0.0.1:1 can't be reached"},
		"a read-only replica": {readOnly.String(), "read-only replica"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // should it start after all
			defer cancel()
			var stderr strings.Builder
			code := run(ctx, []string{"--database-url=" + test.url}, env(t), io.Discard, &stderr)
			line := stderr.String()
			password, _ := mustParse(t, test.url).User.Password()
			if code != settings.ExitSettings || strings.Count(line, "\n") != 1 || !strings.Contains(line, test.want) ||
				!strings.HasPrefix(line, "gateway: --database-url / GATEWAY_DATABASE_URL: ") || strings.Contains(line, password) {
				t.Errorf("exit code %d, %q; want %d and one line with %q", code, line, settings.ExitSettings, test.want)
			}
		})
	}
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	parsed, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func mustExec(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
