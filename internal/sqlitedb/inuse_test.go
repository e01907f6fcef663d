package sqlitedb_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

func mustCopy(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mustCount returns the number of rows in the table t of a database that no process has open.
func mustCount(t *testing.T, path string) (rows int) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), options(path))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Reader.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&rows)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestOpen_copyOfAFileInUse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, copied := filepath.Join(folder, "a.db"), filepath.Join(folder, "copied.db")
	db := mustOpen(t, options(path))
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, path, copied)
	for range 2 {
		opened, err := sqlitedb.Open(t.Context(), options(copied))
		if err == nil {
			_ = opened.Close()
			t.Fatal("a copy without what was written last was opened")
		}
		if !errors.Is(err, sqlitedb.ErrUnusable) || !strings.Contains(err.Error(), "restore a copy") || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %q, want one line of ErrUnusable with the fix", err)
		}
	}
	if err := os.WriteFile(copied+"-wal", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if rows := mustCount(t, copied); rows != 0 {
		t.Errorf("%d rows, want none: they are in the -wal file", rows)
	}
}

// SQLite would delete the -wal file, and with it the last writes, although the database may come back.
func TestOpen_walWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, crashed := filepath.Join(folder, "a.db"), filepath.Join(folder, "crashed.db")
	db := mustOpen(t, options(path))
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, path+"-wal", crashed+"-wal")
	for range 2 {
		opened, err := sqlitedb.Open(t.Context(), options(crashed))
		if err == nil {
			_ = opened.Close()
			t.Fatal("a new database was made beside the -wal file of another")
		}
		if !errors.Is(err, sqlitedb.ErrUnusable) || !strings.Contains(err.Error(), "put the database back") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("error %q, want one line of ErrUnusable with the fix", err)
		}
	}
	mustCopy(t, path, crashed)
	if rows := mustCount(t, crashed); rows != 1 {
		t.Errorf("%d rows, want the one that was written", rows)
	}
}

func TestOpen_afterACrash(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, crashed := filepath.Join(folder, "a.db"), filepath.Join(folder, "crashed.db")
	db := mustOpen(t, options(path))
	mustCopy(t, path, crashed)
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	// A crash leaves the two files as they are at this moment.
	mustCopy(t, path+"-wal", crashed+"-wal")
	for range 2 {
		if rows := mustCount(t, crashed); rows != 1 {
			t.Errorf("%d rows, want the one that was written", rows)
		}
	}
}

// TestOpen_syncsWhatACrashLeft checks that a commit, which syncs the -wal file, follows the writes that a crash left there. A process may
// have written and not synced them. After its crash they are shown to readers, and acknowledged if they come again.
func TestOpen_syncsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, crashed := filepath.Join(folder, "a.db"), filepath.Join(folder, "crashed.db")
	db := mustOpen(t, options(path))
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, path, crashed)
	mustCopy(t, path+"-wal", crashed+"-wal")
	before, err := os.ReadFile(crashed + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	mustOpen(t, options(crashed))
	after, err := os.ReadFile(crashed + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, after) {
		t.Error("the start wrote nothing to the -wal file")
	}
}

func TestClose_leavesOneFileThatHasEverything(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"untouched":       func(string) error { return nil },
		"-wal is removed": func(path string) error { return os.Remove(path + "-wal") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path, copied := filepath.Join(folder, "a.db"), filepath.Join(folder, "copied.db")
			db := mustOpen(t, options(path))
			if err := errors.Join(db.Write(t.Context(), insert), damage(path), db.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the -wal file: %v, want it gone", err)
			}
			mustCopy(t, path, copied)
			if rows := mustCount(t, copied); rows != 1 {
				t.Errorf("%d rows, want the one that was written", rows)
			}
		})
	}
}

// While somebody else reads, not everything can be moved into the database. Then the database still needs its -wal file.
func TestClose_whileAnotherProcessReads(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, copied := filepath.Join(folder, "a.db"), filepath.Join(folder, "copied.db")
	db := mustOpen(t, options(path))
	other, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Write(t.Context(), insert), db.Close()); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, path, copied)
	opened, err := sqlitedb.Open(t.Context(), options(copied))
	if err == nil {
		_ = opened.Close()
	}
	if !errors.Is(err, sqlitedb.ErrUnusable) {
		t.Errorf("Open of the file alone = %v, want ErrUnusable", err)
	}
	if err := errors.Join(tx.Rollback(), other.Close()); err != nil {
		t.Fatal(err)
	}
	if rows := mustCount(t, path); rows != 1 {
		t.Errorf("%d rows, want the one that was written", rows)
	}
}

// A copy of a new file can be recognised at once.
func TestOpen_checkpointsTheSchema(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, copied := filepath.Join(folder, "a.db"), filepath.Join(folder, "copied.db")
	mustOpen(t, options(path))
	mustCopy(t, path, copied)
	db, err := sql.Open("sqlite", "file:"+copied+"?immutable=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	var version, tables int
	if err := db.QueryRowContext(t.Context(), "SELECT (SELECT user_version FROM pragma_user_version),"+
		" (SELECT count(*) FROM sqlite_schema WHERE name = 't')").Scan(&version, &tables); err != nil || version != len(schema) || tables != 1 {
		t.Errorf("version %d and %d tables, %v; want %d and 1", version, tables, err, len(schema))
	}
}
