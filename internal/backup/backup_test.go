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
	db, err := sqlitedb.Open(t.Context(), options(in("a.db")))
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
			code := program.Exit(backup.Run(test.ctx, program, test.url, test.to, options, &stderr), &stderr)
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

// options are those of a service's database at path.
func options(path string) sqlitedb.Options {
	return sqlitedb.Options{Path: path, ApplicationID: 1, Readers: 1,
		Migrations: []sqlitedb.Migration{{Script: "CREATE TABLE t (id TEXT) STRICT"}}}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	for _, name := range []string{"used.db", "old.db"} {
		db, err := sqlitedb.Open(t.Context(), options(in(name)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		if err := sqlitedb.Backup(t.Context(), options(in(name)), in(name+".backup"), func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
		if name == "old.db" {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	for name, test := range map[string]struct {
		ctx       context.Context
		url, from string
		code      int
		out, err  string // regular expressions
	}{
		"a new database": {t.Context(), "sqlite:" + in("new.db"), in("old.db.backup"), settings.ExitOK,
			`^\S+new\.db is restored from \S+old\.db\.backup: \d+\.\d MiB, checked, in \S+\nIt means this\.\n$`, `^$`},
		"over an old one": {t.Context(), "sqlite:" + in("old.db"), in("old.db.backup"), settings.ExitOK,
			`\nwhat was there is kept as \S+old\.db\.before-restore-\d{8}-\d{6} .*\nIt means this\.\n$`, `^$`},
		"a database in use": {t.Context(), "sqlite:" + in("used.db"), in("used.db.backup"), settings.ExitFailure, `^$`,
			`used\.db is in use by another process: stop that one`},
		"PostgreSQL": {t.Context(), "postgres://user:hush@host/database", in("dump"), settings.ExitSettings, `^$`,
			`--database-url / GATEWAY_DATABASE_URL: .*schema gateway .*pg_restore .*dump`},
		"a URL that is none": {t.Context(), "a.db", in("old.db.backup"), settings.ExitSettings, `^$`,
			`--database-url / GATEWAY_DATABASE_URL: .*sqlite:<path>`},
		"Ctrl-C": {interrupted, "sqlite:" + in("interrupted.db"), in("old.db.backup"), settings.ExitFailure, `^$`,
			`the restore was interrupted, and the database is as it was`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			program := settings.Program{Name: "gateway", EnvPrefix: "GATEWAY", Stdout: &stdout}
			code := program.Exit(backup.Restore(test.ctx, program, test.url, test.from, options, "It means this.\n"), &stderr)
			if code != test.code || !regexp.MustCompile(test.out).MatchString(stdout.String()) ||
				!regexp.MustCompile(test.err).MatchString(stderr.String()) || strings.Count(stderr.String(), "\n") > 1 {
				t.Errorf("status %d, output %q, errors %q; want %d, %q, %q", code, stdout.String(), stderr.String(), test.code, test.out, test.err)
			}
			if strings.Contains(stderr.String(), "hush") {
				t.Errorf("errors %q hold a password", stderr.String())
			}
		})
	}
}
