package sqlitedb_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

func noProgress(int64, int64) {}

// mustBeAlone checks that a folder has these files and nothing else.
func mustBeAlone(t *testing.T, folder string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	if strings.Join(found, " ") != strings.Join(names, " ") {
		t.Errorf("the folder has %q, want %q", found, names)
	}
}

// The service writes between all steps of the backup, which has the state of one moment all the same.
func TestBackup_whileTheServiceWrites(t *testing.T) {
	t.Parallel()
	path, folder := filepath.Join(t.TempDir(), "a.db"), t.TempDir()
	db := mustOpen(t, options(path))
	const large = 120
	for range large {
		if err := db.Write(t.Context(), insertLarge); err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(folder, "copied.db")
	var steps int
	var last, size int64
	if err := sqlitedb.Backup(t.Context(), path, copied, func(done, total int64) {
		if err := db.Write(t.Context(), insert); err != nil {
			t.Error(err)
		}
		steps++
		if done < last || done > total {
			t.Errorf("%d bytes of %d are copied, after %d", done, total, last)
		}
		last, size = done, total
	}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(copied)
	if err != nil {
		t.Fatal(err)
	}
	if steps < 3 || last != size || info.Size() != size {
		t.Errorf("%d steps, %d bytes of %d copied, a file of %d", steps, last, size, info.Size())
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600: the file holds personal data", info.Mode().Perm())
	}
	mustBeAlone(t, folder, "copied.db")
	if rows := mustCount(t, copied); rows != large {
		t.Errorf("the backup has %d rows, want the %d of when it began", rows, large)
	}
	if err := db.Check(); err != nil {
		t.Errorf("the service after the backup: %v", err)
	}
}

func TestBackup_stoppedService(t *testing.T) {
	t.Parallel()
	path, folder := filepath.Join(t.TempDir(), "a.db"), t.TempDir()
	db := mustOpen(t, options(path))
	if err := errors.Join(db.Write(t.Context(), insert), db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.db", "2.db"} {
		copied := filepath.Join(folder, name)
		if err := sqlitedb.Backup(t.Context(), path, copied, noProgress); err != nil {
			t.Fatal(err)
		}
		if rows := mustCount(t, copied); rows != 1 {
			t.Errorf("the backup has %d rows, want 1", rows)
		}
		if rows := mustCount(t, path); rows != 1 {
			t.Errorf("the database has %d rows after it, want 1", rows)
		}
	}
}

func TestBackup_refusals(t *testing.T) {
	t.Parallel()
	source := t.TempDir()
	path, damaged := filepath.Join(source, "a.db"), filepath.Join(source, "damaged.db")
	db := mustOpen(t, options(path))
	for range 10 {
		if err := db.Write(t.Context(), insertLarge); err != nil {
			t.Fatal(err)
		}
	}
	if err := sqlitedb.Backup(t.Context(), path, damaged, noProgress); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	clear(content[40*4096 : 45*4096])
	text := filepath.Join(source, "text.db")
	if err := errors.Join(os.WriteFile(damaged, content, 0o600),
		os.WriteFile(text, []byte(strings.Repeat("not a database ", 100)), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ from, to, want string }{
		"a file that exists":      {path, "exists.db", "exists already: name a new file"},
		"a folder that does not":  {path, "missing/a.db", "name a file in a folder that can be written"},
		"a database that is gone": {filepath.Join(source, "missing.db"), "copied.db", "there is no database"},
		"a folder":                {source, "copied.db", "there is no database"},
		"not a database":          {text, "copied.db", "is it an SQLite database"},
		"a damaged database":      {damaged, "copied.db", "integrity_check"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "exists.db"), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := sqlitedb.Backup(t.Context(), test.from, filepath.Join(folder, test.to), noProgress)
			if !errors.Is(err, sqlitedb.ErrBackup) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Backup = %v, want one line of ErrBackup with %q", err, test.want)
			}
			mustBeAlone(t, folder, "exists.db")
			if content, err := os.ReadFile(filepath.Join(folder, "exists.db")); err != nil || string(content) != "mine" {
				t.Errorf("the file that was there has %q, %v", content, err)
			}
		})
	}
}

func TestBackup_interrupted(t *testing.T) {
	t.Parallel()
	path, folder := filepath.Join(t.TempDir(), "a.db"), t.TempDir()
	db := mustOpen(t, options(path))
	for range 120 {
		if err := db.Write(t.Context(), insertLarge); err != nil {
			t.Fatal(err)
		}
	}
	for name, when := range map[string]func(done, total int64) bool{
		"while it copies": func(done, total int64) bool { return done < total },
		"while it checks": func(done, total int64) bool { return done == total },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		err := sqlitedb.Backup(ctx, path, filepath.Join(folder, "copied.db"), func(done, total int64) {
			if when(done, total) {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Backup = %v, want context.Canceled", name, err)
		}
		mustBeAlone(t, folder)
	}
}

// A database of before has no mark that it is in use.
func TestBackup_withoutHousekeeping(t *testing.T) {
	t.Parallel()
	path, copied := filepath.Join(t.TempDir(), "a.db"), filepath.Join(t.TempDir(), "copied.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (id)"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), sqlitedb.Backup(t.Context(), path, copied, noProgress)); err != nil {
		t.Fatal(err)
	}
}
