package sqlitedb_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

func insert(tx *sql.Tx) error {
	_, err := tx.Exec("INSERT INTO t DEFAULT VALUES")
	return err
}

func insertLarge(tx *sql.Tx) error {
	_, err := tx.Exec("INSERT INTO t (note) VALUES (zeroblob(100000))")
	return err
}

func mustRename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestWrite_filesRemovedOrReplaced(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		for _, replaced := range []bool{false, true} {
			name, want := "removed"+suffix, "was removed"
			if replaced {
				name, want = "replaced"+suffix, "was replaced"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "a.db")
				db := mustOpen(t, options(path))
				if err := db.Write(t.Context(), insert); err != nil {
					t.Fatal(err)
				}
				mustRename(t, path+suffix, path+".away")
				if replaced {
					if err := os.WriteFile(path+suffix, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				for call, err := range map[string]error{"Write": db.Write(t.Context(), insert), "Check": db.Check()} {
					if !errors.Is(err, sqlitedb.ErrUnavailable) || !strings.Contains(err.Error(), path+suffix+" "+want) ||
						strings.Contains(err.Error(), "\n") {
						t.Errorf("%s = %v, want one line of ErrUnavailable with %q", call, err, path+suffix+" "+want)
					}
				}
				if _, err := db.Reader.Conn(t.Context()); !errors.Is(err, sqlitedb.ErrUnavailable) {
					t.Errorf("a new connection = %v, want ErrUnavailable", err)
				}
				if _, err := os.Stat(path + suffix); !replaced && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the file was made anew: %v", err)
				}
				mustRename(t, path+".away", path+suffix)
				if err := errors.Join(db.Check(), db.Write(t.Context(), insert)); err != nil {
					t.Errorf("with the file back = %v", err)
				}
			})
		}
	}
}

func TestWrite_fileRemovedDuringIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db := mustOpen(t, options(path))
	if err := db.Write(t.Context(), func(tx *sql.Tx) error {
		mustRename(t, path, path+".away")
		return insert(tx)
	}); !errors.Is(err, sqlitedb.ErrUnavailable) {
		t.Errorf("Write = %v, want ErrUnavailable: nobody will find what was committed", err)
	}
}

// A process that ends must not remove the files of its successor.
func TestClose_filesOfAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	first := mustOpen(t, options(path))
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if err := os.Remove(path + suffix); err != nil {
			t.Fatal(err)
		}
	}
	second := mustOpen(t, options(path))
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if err := second.Write(t.Context(), insert); err != nil {
		t.Errorf("Write of the second process = %v", err)
	}
}

func TestOpen_symbolicLink(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	link := filepath.Join(folder, "link.db")
	if err := errors.Join(os.Mkdir(filepath.Join(folder, "real"), 0o700), os.WriteFile(filepath.Join(folder, "real", "a.db"), nil, 0o600),
		os.Symlink(filepath.Join("real", "a.db"), link)); err != nil {
		t.Fatal(err)
	}
	db := mustOpen(t, options(link))
	if err := db.Write(t.Context(), insert); err != nil {
		t.Error(err)
	}
}

// A process that opens the file by its own name is refused, whether or not the file existed when the other process opened the link.
func TestOpen_symbolicLinkInUse(t *testing.T) {
	t.Parallel()
	for _, fileExists := range []bool{true, false} {
		folder := t.TempDir()
		path, link := filepath.Join(folder, "a.db"), filepath.Join(t.TempDir(), "link.db")
		if fileExists {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, options(link))
		for _, name := range []string{path, link} {
			mustNotOpen(t, name, "in use by another process")
		}
	}
}

func TestOpen_hardLink(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, other := filepath.Join(folder, "a.db"), filepath.Join(folder, "b.db")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Link(path, other)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, other} {
		mustNotOpen(t, name, "hard links")
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, options(path))
}

// mustNotOpen checks that a database is refused with one line that contains a text.
func mustNotOpen(t *testing.T, path, want string) {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), options(path))
	if err == nil {
		_ = db.Close()
		t.Errorf("%s was opened, want a refusal with %q", path, want)
		return
	}
	if !errors.Is(err, sqlitedb.ErrUnusable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q, want one line of ErrUnusable with %q", err, want)
	}
}

func TestCheck_fullDisk(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(filepath.Join(t.TempDir(), "a.db")))
	setMaxPages := func(pages string) {
		t.Helper()
		if _, err := db.Writer.ExecContext(t.Context(), "PRAGMA max_page_count = "+pages); err != nil {
			t.Fatal(err)
		}
	}
	// The maximum size of a file simulates a full disk: SQLite reports both as SQLITE_FULL.
	setMaxPages("20")
	if err := db.Write(t.Context(), insertLarge); !errors.Is(err, sqlitedb.ErrUnavailable) {
		t.Fatalf("Write beyond the space = %v, want ErrUnavailable", err)
	}
	db.Probe()
	if err := db.Check(); !errors.Is(err, sqlitedb.ErrUnavailable) || !strings.Contains(err.Error(), "full") {
		t.Errorf("Check after a write that failed = %v, want ErrUnavailable with the reason", err)
	}
	// A write that needs no space does not show that there is space.
	if err := db.Write(t.Context(), insert); err != nil {
		t.Errorf("Write that fits = %v", err)
	}
	if err := db.Check(); !errors.Is(err, sqlitedb.ErrUnavailable) {
		t.Errorf("Check before there is space = %v, want ErrUnavailable", err)
	}
	setMaxPages("4294967294")
	db.Probe()
	if err := db.Check(); err != nil {
		t.Errorf("Check after space is free = %v", err)
	}
	var rows int
	if err := db.Reader.QueryRowContext(t.Context(), "SELECT count(*) FROM housekeeping WHERE name <> 'in use'").Scan(&rows); err != nil ||
		rows != 0 {
		t.Errorf("the probe left %d rows, %v", rows, err)
	}
}

func TestCheck_errorsThatAreNotTheDisk(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(filepath.Join(t.TempDir(), "a.db")))
	if err := db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t (id) VALUES ('not a number')")
		return err
	}); err == nil {
		t.Fatal("wrote it")
	}
	if err := db.Check(); err != nil {
		t.Errorf("Check after a statement that is wrong = %v, want nil", err)
	}
}

// A reader of an older state keeps the -wal file from being emptied. Afterwards it is emptied without another call.
func TestPurgeWAL_whileSomebodyReads(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db := mustOpen(t, options(path))
	reading, err := db.Reader.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := reading.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	db.PurgeWAL()
	if size() == 0 {
		t.Error("the -wal file is empty while somebody reads an older state")
	}
	if err := reading.Rollback(); err != nil {
		t.Fatal(err)
	}
	db.Purge()
	if size() != 0 {
		t.Errorf("the -wal file has %d bytes after the reader's end", size())
	}
	var timeout int
	if err := db.Writer.QueryRowContext(t.Context(), "PRAGMA busy_timeout").Scan(&timeout); err != nil || timeout != 5000 {
		t.Errorf("the writer's busy_timeout is %d, %v, want 5000", timeout, err)
	}
	if rows := mustCountIn(t, db); rows != 1 {
		t.Errorf("%d rows, want 1", rows)
	}
}

// TestPurgeWALLater_theWriteFails has the file moved away before the commit. The commit succeeds, but the caller gets an error.
func TestPurgeWALLater_theWriteFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db := mustOpen(t, options(path))
	if err := db.Write(t.Context(), func(tx *sql.Tx) error {
		db.PurgeWALLater()
		mustRename(t, path, path+".away")
		return insert(tx)
	}); !errors.Is(err, sqlitedb.ErrUnavailable) {
		t.Fatalf("Write = %v, want ErrUnavailable", err)
	}
	db.Purge()
	mustRename(t, path+".away", path)
	db.Purge()
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() != 0 {
		t.Errorf("the -wal file is not emptied after the file is back: %v", err)
	}
	if rows := mustCountIn(t, db); rows != 1 {
		t.Errorf("%d rows, want 1", rows)
	}
}

func mustCountIn(t *testing.T, db *sqlitedb.DB) (rows int) {
	t.Helper()
	if err := db.Reader.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestPing_waitsForNobody has all other connections in use.
func TestPing_waitsForNobody(t *testing.T) {
	t.Parallel()
	o := options(filepath.Join(t.TempDir(), "a.db"))
	o.QuickReaders = 2
	db := mustOpen(t, o)
	for pool, connections := range map[*sql.DB]int{db.Writer: 1, db.Reader: o.Readers, db.QuickReader: o.QuickReaders} {
		for range connections {
			tx, err := pool.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback() }()
		}
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("Ping while all else is in use = %v", err)
	}
}
