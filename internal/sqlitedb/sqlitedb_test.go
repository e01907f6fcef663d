package sqlitedb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const applicationID = 0x54657374

var schema = []sqlitedb.Migration{
	{Script: "CREATE TABLE t (id INTEGER PRIMARY KEY)"},
	{Script: "ALTER TABLE t ADD COLUMN note TEXT", Fill: func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE t SET note = coalesce(note, '') || 'filled'")
		return err
	}},
}

func options(path string) sqlitedb.Options {
	return sqlitedb.Options{Path: path, ApplicationID: applicationID, Migrations: schema, Readers: 3}
}

func mustOpen(t *testing.T, o sqlitedb.Options) *sqlitedb.DB {
	t.Helper()
	db, err := sqlitedb.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// everyConnection calls f with each connection that the pool can have, all open at the same time.
func everyConnection(t *testing.T, pool *sql.DB, f func(*sql.Conn)) {
	t.Helper()
	for range pool.Stats().MaxOpenConnections {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		f(conn)
	}
}

func TestOpen_everyConnectionIsDurable(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(filepath.Join(t.TempDir(), "a.db")))
	connections := 0
	for _, pool := range []*sql.DB{db.Writer, db.Reader, db.QuickReader} {
		everyConnection(t, pool, func(conn *sql.Conn) {
			connections++
			var mode string
			var synchronous int
			if err := conn.QueryRowContext(t.Context(), "SELECT (SELECT journal_mode FROM pragma_journal_mode),"+
				" (SELECT synchronous FROM pragma_synchronous)").Scan(&mode, &synchronous); err != nil {
				t.Fatal(err)
			}
			if mode != "wal" || synchronous != 2 {
				t.Errorf("journal_mode %s, synchronous %d; want wal, 2 (FULL)", mode, synchronous)
			}
		})
	}
	if connections != 5 {
		t.Errorf("looked at %d connections, want 1 writer, 3 readers and 1 quick one", connections)
	}
}

func TestOpen_overwritesDeletedData(t *testing.T) {
	t.Parallel()
	for _, overwrite := range []bool{false, true} {
		o := options(filepath.Join(t.TempDir(), "a.db"))
		o.Overwrite = overwrite
		db := mustOpen(t, o)
		var got bool
		if err := db.Writer.QueryRowContext(t.Context(), "PRAGMA secure_delete").Scan(&got); err != nil || got != overwrite {
			t.Errorf("secure_delete is %v, %v; want %v", got, err, overwrite)
		}
	}
}

func TestReader_cannotWrite(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(filepath.Join(t.TempDir(), "a.db")))
	everyConnection(t, db.Reader, func(conn *sql.Conn) {
		if _, err := conn.ExecContext(t.Context(), "INSERT INTO t DEFAULT VALUES"); err == nil {
			t.Error("a reader wrote")
		}
	})
}

// Versions before 3.51.3 can corrupt a WAL file when it is reset.
func TestSQLite_isNewEnough(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(filepath.Join(t.TempDir(), "a.db")))
	var version string
	if err := db.Reader.QueryRowContext(t.Context(), "SELECT sqlite_version()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		t.Fatalf("version %q: %v", version, err)
	}
	if slices.Compare([]int{major, minor, patch}, []int{3, 51, 3}) < 0 {
		t.Errorf("SQLite %s, want 3.51.3 or newer", version)
	}
}

func TestOpen_runsMigrationsOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	old := options(path)
	old.Migrations = schema[:1]
	db, err := sqlitedb.Open(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Writer.ExecContext(t.Context(), "INSERT INTO t (id) VALUES (100)"); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	broken := options(path)
	broken.Migrations = []sqlitedb.Migration{schema[0], {Script: schema[1].Script, Fill: func(context.Context, *sql.Tx) error {
		return errors.New("broken")
	}}}
	if _, err := sqlitedb.Open(t.Context(), broken); !errors.Is(err, sqlitedb.ErrUnusable) {
		t.Errorf("a step that fails: %v, want ErrUnusable", err)
	}
	for range 2 {
		db, err := sqlitedb.Open(t.Context(), options(path))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Writer.ExecContext(t.Context(), "INSERT INTO t (note) VALUES ('x')"); err != nil {
			t.Error(err)
		}
		var note string
		if err := db.Reader.QueryRowContext(t.Context(), "SELECT note FROM t WHERE id = 100").Scan(&note); err != nil || note != "filled" {
			t.Errorf("the row that was there has %q, %v; want it filled once", note, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpen_refusals(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	mustOpen(t, options(in("taken.db")))
	if err := errors.Join(os.Mkdir(in("links"), 0o700), os.Symlink(in("taken.db"), in("links/taken.db"))); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{"file": "a file", "text.db": strings.Repeat("not a database ", 100)} {
		if err := os.WriteFile(in(path), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newer, err := sqlitedb.Open(t.Context(), options(in("newer.db")))
	if err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		options sqlitedb.Options
		want    string
	}{
		"a newer schema": {sqlitedb.Options{Path: in("newer.db"), ApplicationID: applicationID, Migrations: schema[:1]},
			"newer than the 1 that this binary knows: run a newer binary"},
		"another application's file": {sqlitedb.Options{Path: in("newer.db"), ApplicationID: 1, Migrations: schema},
			"belongs to another application"},
		"a file in use":               {options(in("taken.db")), "in use by another process: stop that one"},
		"a link to a file in use":     {options(in("links/taken.db")), "in use by another process: stop that one"},
		"not a database":              {options(in("text.db")), "is it an SQLite database"},
		"a folder that can't be made": {options(in("file/a.db")), "name a path in a folder that can be written"},
		"a path that is a folder":     {options(folder), "is a folder: name a file in it"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			db, err := sqlitedb.Open(t.Context(), test.options)
			if err == nil {
				_ = db.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, sqlitedb.ErrUnusable) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line of ErrUnusable with %q", err, test.want)
			}
		})
	}
}

func TestOpen_pathsWithOddCharacters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c%20d#e.db")
	mustOpen(t, options(path))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() == 0 {
		t.Error("the file is empty: the database is somewhere else")
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600: the file holds personal data", info.Mode().Perm())
	}
}

func TestWrite_commitsOrRollsBack(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(filepath.Join(t.TempDir(), "a.db")))
	insert := func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t DEFAULT VALUES")
		return err
	}
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	errMine := errors.New("mine")
	if err := db.Write(t.Context(), func(tx *sql.Tx) error { return errors.Join(insert(tx), errMine) }); !errors.Is(err, errMine) {
		t.Errorf("Write = %v, want the function's own error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := db.Write(ctx, func(tx *sql.Tx) error { cancel(); return insert(tx) }); err != nil {
		t.Errorf("Write whose context ended on the way = %v, want it committed", err)
	}
	if err := db.Write(ctx, insert); !errors.Is(err, context.Canceled) {
		t.Errorf("Write with an ended context = %v, want context.Canceled", err)
	}
	var count int
	if err := db.Reader.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&count); err != nil {
		t.Fatal(err)
	}
	if count != 2 {
		t.Errorf("%d rows, want the 2 that were committed", count)
	}
}

func TestWrite_panicReleasesTheLock(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(filepath.Join(t.TempDir(), "free.db")))
	func() {
		defer func() { _ = recover() }()
		_ = db.Write(t.Context(), func(*sql.Tx) error { panic("at the driver") })
		t.Error("the panic was swallowed")
	}()
	if err := db.Write(t.Context(), func(*sql.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestReader_seesTheLastCommitDuringAWrite(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(filepath.Join(t.TempDir(), "a.db")))
	var readers sync.WaitGroup
	if err := db.Write(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.Exec("INSERT INTO t DEFAULT VALUES"); err != nil {
			return err
		}
		for range 6 {
			readers.Go(func() {
				var count int
				if err := db.Reader.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&count); err != nil || count != 0 {
					t.Errorf("a reader sees %d rows, %v; want none before the commit", count, err)
				}
			})
		}
		readers.Wait()
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestWrite_fullDisk(t *testing.T) {
	t.Parallel()
	db := mustOpen(t, options(filepath.Join(t.TempDir(), "a.db")))
	fill := func() error {
		return db.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO t (note) VALUES (zeroblob(1000000))")
			return err
		})
	}
	// The maximum size of a file simulates a full disk: SQLite reports both as SQLITE_FULL.
	if _, err := db.Writer.ExecContext(t.Context(), "PRAGMA max_page_count = 10"); err != nil {
		t.Fatal(err)
	}
	if err := fill(); !errors.Is(err, sqlitedb.ErrUnavailable) {
		t.Errorf("writing beyond the space = %v, want ErrUnavailable", err)
	}
	if _, err := db.Writer.ExecContext(t.Context(), "PRAGMA max_page_count = 4294967294"); err != nil {
		t.Fatal(err)
	}
	if err := fill(); err != nil {
		t.Errorf("writing after space is free again = %v", err)
	}
}
