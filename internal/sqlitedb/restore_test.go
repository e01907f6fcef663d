package sqlitedb_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

var restoreTime = time.Date(2026, 11, 28, 3, 4, 5, 0, time.UTC)

const asideSuffix = ".before-restore-20261128-030405"

// mustBackUp makes a backup of a new database with that number of rows.
func mustBackUp(t *testing.T, rows int) string {
	t.Helper()
	folder := t.TempDir()
	path, backup := filepath.Join(folder, "a.db"), filepath.Join(folder, "backup.db")
	db := mustOpen(t, options(path))
	for range rows {
		if err := db.Write(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
	}
	if err := sqlitedb.Backup(t.Context(), options(path), backup, noProgress); err != nil {
		t.Fatal(err)
	}
	return backup
}

// mustCrash makes a database with that number of rows as a crash leaves it, with its -wal file.
func mustCrash(t *testing.T, path string, rows int) {
	t.Helper()
	running := filepath.Join(t.TempDir(), "a.db")
	db := mustOpen(t, options(running))
	for range rows {
		if err := db.Write(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		mustCopy(t, running+suffix, path+suffix)
	}
}

// TestRestore_overALeftOverWAL restores over the files that a crash left, and to a path without files, by the file's name and by a symbolic
// link.
func TestRestore_overALeftOverWAL(t *testing.T) {
	t.Parallel()
	backup := mustBackUp(t, 3)
	for name, test := range map[string]struct{ crashed, linked bool }{
		"crashed": {true, false}, "crashed, by a link": {true, true}, "nothing there": {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			path := filepath.Join(folder, "a.db")
			named := path
			if test.crashed {
				mustCrash(t, path, 500)
			}
			if test.linked {
				named = filepath.Join(t.TempDir(), "link.db")
				if err := os.Symlink(path, named); err != nil {
					t.Fatal(err)
				}
			}
			restored, err := sqlitedb.Restore(t.Context(), backup, options(named), restoreTime)
			if err != nil {
				t.Fatal(err)
			}
			want := sqlitedb.Restored{Bytes: restored.Bytes}
			files := []string{"a.db", "a.db.lock"}
			if test.crashed {
				want.Aside = path + asideSuffix
				files = []string{"a.db", "a.db" + asideSuffix, "a.db" + asideSuffix + "-shm", "a.db" + asideSuffix + "-wal", "a.db.lock"}
			}
			if restored != want || restored.Bytes == 0 {
				t.Errorf("Restore = %+v, want %+v and a size", restored, want)
			}
			mustBeAlone(t, folder, files...)
			if rows := mustCount(t, named); rows != 3 {
				t.Errorf("the restored database has %d rows, want the 3 of the backup", rows)
			}
			if test.crashed {
				if rows := mustCount(t, restored.Aside); rows != 500 {
					t.Errorf("the database that was there has %d rows, want its 500", rows)
				}
			}
		})
	}
}

func TestRestore_refusals(t *testing.T) {
	t.Parallel()
	source := t.TempDir()
	in := func(name string) string { return filepath.Join(source, name) }
	backup := mustBackUp(t, 2000)
	content, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	clear(content[2*4096 : 3*4096])
	mustCrash(t, in("crashed.db"), 3)
	mustCopy(t, in("crashed.db"), in("used.db"))
	mustCopy(t, backup, in("newer.db"))
	mustCopy(t, backup, in("other.db"))
	for name, statement := range map[string]string{"newer.db": "PRAGMA user_version = 99", "other.db": "PRAGMA application_id = 1"} {
		mustExecIn(t, in(name), statement)
	}
	if err := errors.Join(os.WriteFile(in("damaged.db"), content, 0o600), os.WriteFile(in("empty.db"), nil, 0o600),
		os.WriteFile(in("text.db"), []byte(strings.Repeat("not a database ", 100)), 0o600)); err != nil {
		t.Fatal(err)
	}
	inUse := in("running.db")
	mustOpen(t, options(inUse))
	for name, test := range map[string]struct{ backup, path, want string }{
		"a file that is not there": {in("missing.db"), "", "missing.db can't be read"},
		"a folder":                 {source, "", "is not a file"},
		"a text":                   {in("text.db"), "", "text.db can't be read"},
		"an empty file":            {in("empty.db"), "", "is not a backup of this service"},
		"another application":      {in("other.db"), "", "is not a backup of this service"},
		"a newer schema":           {in("newer.db"), "", "has schema 99, newer than the 2"},
		"a damaged file":           {in("damaged.db"), "", "is damaged"},
		"a copy of one in use":     {in("used.db"), "", "was copied while a service used it"},
		"a database with its -wal": {in("crashed.db"), "", "is a database and not a backup"},
		"a database in use":        {backup, inUse, "is in use by another process"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, path := t.TempDir(), test.path
			if path == "" {
				path = filepath.Join(folder, "a.db")
				mustCrash(t, path, 5)
			}
			_, err := sqlitedb.Restore(t.Context(), test.backup, options(path), restoreTime)
			if !errors.Is(err, sqlitedb.ErrRestore) && !errors.Is(err, sqlitedb.ErrUnusable) || !strings.Contains(fmt.Sprint(err), test.want) ||
				strings.Contains(fmt.Sprint(err), "\n") {
				t.Errorf("Restore = %v, want one line of ErrRestore with %q", err, test.want)
			}
			if test.path == "" {
				if rows := mustCount(t, path); rows != 5 {
					t.Errorf("the database that was there has %d rows, want its 5", rows)
				}
				mustBeAlone(t, folder, "a.db", "a.db.lock")
			}
		})
	}
}

func TestRestore_ofItself(t *testing.T) {
	t.Parallel()
	backup := mustBackUp(t, 1)
	_, err := sqlitedb.Restore(t.Context(), backup, options(backup), restoreTime)
	if !errors.Is(err, sqlitedb.ErrRestore) || !strings.Contains(err.Error(), "is the database itself") {
		t.Errorf("Restore = %v, want ErrRestore", err)
	}
}

// TestRestore_pathTooLongForSQLite fails when SQLite opens the copy: SQLite takes paths of about 500 bytes at most.
func TestRestore_pathTooLongForSQLite(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), strings.Repeat("x", 200), strings.Repeat("y", 200), strings.Repeat("z", 150))
	_, err := sqlitedb.Restore(t.Context(), mustBackUp(t, 1), options(filepath.Join(folder, "a.db")), restoreTime)
	if !errors.Is(err, sqlitedb.ErrRestore) || errors.Is(err, sqlitedb.ErrBackup) || !strings.Contains(err.Error(), "can't be opened") {
		t.Errorf("Restore = %v, want ErrRestore that the copy can't be opened", err)
	}
	mustBeAlone(t, folder, "a.db.lock")
}

func TestRestore_interrupted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sqlitedb.Restore(ctx, mustBackUp(t, 1), options(filepath.Join(folder, "a.db")), restoreTime); !errors.Is(err,
		context.Canceled) {
		t.Errorf("Restore = %v, want context.Canceled", err)
	}
	mustBeAlone(t, folder, "a.db.lock")
}

// TestRestore_failsHalfWay can't move the -wal file, because a folder has its new name.
func TestRestore_failsHalfWay(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "a.db")
	mustCrash(t, path, 5)
	if err := os.Mkdir(path+asideSuffix+"-shm", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlitedb.Restore(t.Context(), mustBackUp(t, 1), options(path), restoreTime); !errors.Is(err, sqlitedb.ErrRestore) {
		t.Errorf("Restore = %v, want ErrRestore", err)
	}
	mustBeAlone(t, folder, "a.db", "a.db-shm", "a.db-wal", "a.db"+asideSuffix+"-shm", "a.db.lock")
	if rows := mustCount(t, path); rows != 5 {
		t.Errorf("the database that was there has %d rows, want its 5", rows)
	}
}

func mustExecIn(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestOpen_walOfAnotherDatabase copies a backup over a database in use that crashed, without the command restore.
func TestOpen_walOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	mustCrash(t, path, 30)
	backup := mustBackUp(t, 100)
	mustCopy(t, backup, path)
	wal, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		mustNotOpen(t, path, "which another database left, stayed")
	}
	if left, err := os.ReadFile(path + "-wal"); err != nil || !bytes.Equal(left, wal) {
		t.Errorf("the -wal file was changed, or %v", err)
	}
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	if rows := mustCount(t, path); rows != 100 {
		t.Errorf("%d rows, want the 100 of the backup", rows)
	}
}

// TestOpen_crashWhileItOpens has a file that is not marked yet, with the -wal file that marks it.
func TestOpen_crashWhileItOpens(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, crashed := mustBackUp(t, 5), filepath.Join(folder, "crashed.db")
	// These are the first writes of Open to the -wal file.
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "INSERT INTO housekeeping (name) VALUES ('in use')"); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, path, crashed)
	mustCopy(t, path+"-wal", crashed+"-wal")
	if rows := mustCount(t, crashed); rows != 5 {
		t.Errorf("%d rows, want 5", rows)
	}
}

// TestOpen_crashWhileItCloses has a file that is no longer marked, with the -wal file that is just about to be removed.
func TestOpen_crashWhileItCloses(t *testing.T) {
	t.Parallel()
	path, crashed := mustBackUp(t, 5), filepath.Join(t.TempDir(), "crashed.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), "DELETE FROM t WHERE id = 1; PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, path, crashed)
	mustCopy(t, path+"-wal", crashed+"-wal")
	if rows := mustCount(t, crashed); rows != 4 {
		t.Errorf("%d rows, want 4", rows)
	}
}
