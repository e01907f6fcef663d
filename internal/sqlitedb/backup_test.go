package sqlitedb_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// The service writes all the time. The backup has the state of one moment: all rows up to a certain one.
func TestBackup_whileTheServiceWrites(t *testing.T) {
	t.Parallel()
	path, folder := filepath.Join(t.TempDir(), "a.db"), t.TempDir()
	db := mustOpen(t, options(path))
	write := func(count int, f func(*sql.Tx) error) {
		for range count {
			if err := db.Write(t.Context(), f); err != nil {
				t.Error(err)
			}
		}
	}
	const before, meanwhile = 50, 200
	write(before, insertLarge)
	var writing sync.WaitGroup
	var began sync.Once
	copied := filepath.Join(folder, "copied.db")
	if err := sqlitedb.Backup(t.Context(), options(path), copied, func(done, total int64) {
		began.Do(func() { writing.Go(func() { write(meanwhile, insertLarge) }) })
		if done < 0 || done > total || total < before*100000 {
			t.Errorf("%d bytes of %d are copied", done, total)
		}
	}); err != nil {
		t.Fatal(err)
	}
	writing.Wait()
	info, err := os.Stat(copied)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600: the file holds personal data", info.Mode().Perm())
	}
	mustBeAlone(t, folder, "copied.db")
	restored := mustOpen(t, options(copied))
	var rows, last int
	if err := restored.Reader.QueryRowContext(t.Context(), "SELECT count(*), max(id) FROM t").Scan(&rows, &last); err != nil ||
		rows < before || rows != last {
		t.Errorf("the backup has %d rows up to %d, %v; want %d or more, without gaps", rows, last, err, before)
	}
	if err := db.Reader.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&rows); err != nil || rows != before+meanwhile {
		t.Errorf("the service has %d rows, %v; want %d", rows, err, before+meanwhile)
	}
	if err := db.Check(); err != nil {
		t.Errorf("the service after the backup: %v", err)
	}
}

// Deleted rows stay in the database's file until their space is reused. A backup must not carry them to other machines.
func TestBackup_hasNoDeletedData(t *testing.T) {
	t.Parallel()
	path, copied := filepath.Join(t.TempDir(), "a.db"), filepath.Join(t.TempDir(), "copied.db")
	db := mustOpen(t, options(path))
	const erased = "erased for good"
	if err := db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t (note) VALUES (?); INSERT INTO t (note) VALUES ('kept'); DELETE FROM t WHERE note = ?", erased, erased)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), sqlitedb.Backup(t.Context(), options(path), copied, noProgress)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]bool{path: true, copied: false} {
		if content, err := os.ReadFile(file); err != nil || bytes.Contains(content, []byte(erased)) != want {
			t.Errorf("%s has what was deleted: %v, want %v (%v)", file, !want, want, err)
		}
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
		if err := sqlitedb.Backup(t.Context(), options(path), copied, noProgress); err != nil {
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
	if err := sqlitedb.Backup(t.Context(), options(path), damaged, noProgress); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	clear(content[40*4096 : 45*4096])
	wrong := filepath.Join(source, "wrong.db")
	tampered, err := sql.Open("sqlite", wrong)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tampered.ExecContext(t.Context(), "CREATE TABLE t (note TEXT); INSERT INTO t (note) VALUES (NULL);"+
		" PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE TABLE t (note TEXT NOT NULL)';"+
		" PRAGMA application_id = "+strconv.Itoa(applicationID)); err != nil {
		t.Fatal(err)
	}
	if err := tampered.Close(); err != nil {
		t.Fatal(err)
	}
	text, other := filepath.Join(source, "text.db"), filepath.Join(source, "other.db")
	others := options(other)
	others.ApplicationID++
	if err := mustOpen(t, others).Close(); err != nil {
		t.Fatal(err)
	}
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
		"another service's":       {other, "copied.db", "is not a database of this service"},
		"a damaged database":      {damaged, "copied.db", "or the database damaged"},
		"a value that can't be":   {wrong, "copied.db", "integrity_check found: NULL value in t.note"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "exists.db"), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := sqlitedb.Backup(t.Context(), options(test.from), filepath.Join(folder, test.to), noProgress)
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
		err := sqlitedb.Backup(ctx, options(path), filepath.Join(folder, "copied.db"), func(done, total int64) {
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

// A database of an older version has no mark that it is in use.
func TestBackup_withoutHousekeeping(t *testing.T) {
	t.Parallel()
	path, copied := filepath.Join(t.TempDir(), "a.db"), filepath.Join(t.TempDir(), "copied.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (id); PRAGMA application_id = "+strconv.Itoa(applicationID)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), sqlitedb.Backup(t.Context(), options(path), copied, noProgress)); err != nil {
		t.Fatal(err)
	}
}
