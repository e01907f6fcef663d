package backup_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/backup"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

func TestRun(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	db, err := sqlitedb.Open(t.Context(), sqlitedb.Options{Path: in("a.db"), Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := os.WriteFile(in("exists"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	for name, test := range map[string]struct {
		ctx      context.Context
		url, to  string
		code     int
		out, err string // regular expressions
	}{
		"a database in use": {t.Context(), "sqlite:" + in("a.db"), in("copied.db"), settings.ExitOK,
			`a\.db is backed up to .*copied\.db: \d+\.\d MiB, checked, in `, `^$`},
		"a file that exists": {t.Context(), "sqlite:" + in("a.db"), in("exists"), settings.ExitFailure, `^$`, `exists already: name a new file`},
		"PostgreSQL": {t.Context(), "postgres://user:hush@host/database", in("dump"), settings.ExitSettings, `^$`,
			`--database-url / GATEWAY_DATABASE_URL: .*pg_dump --format=custom --schema=gateway --file=.*dump`},
		"a URL that is none": {t.Context(), "a.db", in("copied"), settings.ExitSettings, `^$`,
			`--database-url / GATEWAY_DATABASE_URL: .*sqlite:<path>`},
		"Ctrl-C": {interrupted, "sqlite:" + in("a.db"), in("interrupted"), settings.ExitFailure, `^$`,
			`the backup was interrupted, and nothing is left of it`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			program := settings.Program{Name: "gateway", EnvPrefix: "GATEWAY", Stdout: &stdout}
			code := program.Exit(backup.Run(test.ctx, program, test.url, test.to, &stderr), &stderr)
			if code != test.code || !regexp.MustCompile(test.out).MatchString(stdout.String()) ||
				!regexp.MustCompile(test.err).MatchString(stderr.String()) || strings.Count(stdout.String()+stderr.String(), "\n") != 1 {
				t.Errorf("status %d, output %q, errors %q; want %d, %q, %q", code, stdout.String(), stderr.String(), test.code, test.out, test.err)
			}
			if strings.Contains(stderr.String(), "hush") {
				t.Errorf("errors %q hold a password", stderr.String())
			}
		})
	}
}
