// Package sqlitedb opens the SQLite files in which both services keep their data. It makes sure that the promised durability holds on every
// connection.
//
// One process owns a file: a lock beside the file keeps out a second process. Within the process there is one connection that writes, a few
// that read, and one that checks the database. In WAL mode readers see the last commit. They neither wait for the writer nor block it.
//
// Each file has a table housekeeping of this package beside the tables of its service. It has at most two rows: [inUse] while a process has
// the file open, and for a moment [spaceProbe].
package sqlitedb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var (
	// ErrUnavailable is returned if the database can't be used at the moment (the disk is full or failing, the file is locked). A retry may
	// succeed.
	ErrUnavailable = errors.New("database is unavailable")
	// ErrUnusable is returned if the database can't be opened as it is. The text names the file and the fix.
	ErrUnusable = errors.New("database can't be used")
)

// Options are the database to open and its schema.
type Options struct {
	// Path is the path of the file. Its folder is made if it is missing.
	Path string
	// ApplicationID marks the file as this service's own, in SQLite's header field of that name.
	ApplicationID int32
	// Migrations are the steps of the schema: step n makes version n out of version n-1. Steps never change after they are released.
	Migrations []Migration
	// Readers is the number of connections that read at the same time. At least 1.
	Readers int
	// QuickReaders is the number of additional connections for short reads.
	QuickReaders int
	// Overwrite makes SQLite overwrite deleted data with zeros, even if the data is only moved within the file. Otherwise it stays in the file
	// until its space is reused.
	Overwrite bool
}

// Migration is one step of a schema.
type Migration struct {
	// Script has SQL statements.
	Script string
	// Fill, if not nil, writes data that SQL can't compute from the existing rows. It runs after the script, in the same transaction. There
	// may be many rows, so it reads a few at a time.
	Fill func(ctx context.Context, tx *sql.Tx) error
}

// DB is an open database.
type DB struct {
	// Writer has a single connection, the only one that writes. Its transactions begin with the write lock.
	Writer *sql.DB
	// Reader has connections that can't write.
	Reader *sql.DB
	// QuickReader has other connections that can't write, for short reads, so that these never wait for long ones.
	QuickReader *sql.DB
	// health has the connection of [DB.Ping], which waits for no read.
	health *sql.DB

	lock *flock.Flock
	// files are the files that must stay in place while the database is open, the database itself first. Empty until the database is open.
	files []openFile
	// failure is the error of the last write that failed for lack of space or the like. It is nil after a probe has succeeded.
	failure atomic.Pointer[error]
	// unpurged is true while the -wal file must be emptied.
	unpurged atomic.Bool
	// stopRetries ends the goroutine that probes and purges once a second.
	stopRetries func()
	closing     sync.Once
}

// PathFromURL returns the path of the file that a database URL such as sqlite:data/gateway.db names. ok is false for any other URL.
func PathFromURL(databaseURL string) (path string, ok bool) {
	path, ok = strings.CutPrefix(databaseURL, "sqlite:")
	// With two slashes, as in postgres://, it would be a file at the root of the file system.
	return path, ok && path != "" && !strings.HasPrefix(path, ":") && !strings.HasPrefix(path, "//")
}

// IsNew reports whether [Open] would make a new database at path.
func IsNew(path string) bool {
	info, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0
}

// Open opens the database, makes it if it is missing, and brings its schema up to date.
//
// Errors are [ErrUnusable] with a text for the operator who set the path: the folder or file can't be written, another process has it open,
// it belongs to another application or has a newer schema, or it does not meet the needs of durability. If ctx ends first, the error is
// ctx's.
func Open(ctx context.Context, options Options) (*DB, error) {
	if info, err := os.Stat(options.Path); err == nil && info.IsDir() {
		return nil, unusable("%s is a folder: name a file in it", options.Path)
	}
	if err := os.MkdirAll(filepath.Dir(options.Path), 0o700); err != nil {
		return nil, unusable("the folder of %s can't be made (%v): name a path in a folder that can be written", options.Path, cause(err))
	}
	realPath, err := makeFile(options.Path)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(options.Path, realPath)
	if err != nil {
		return nil, err
	}
	db := &DB{lock: lock, stopRetries: func() {}}
	if err := db.open(ctx, options, realPath); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, errors.Join(err, db.Close())
	}
	db.stopRetries = everySecond(func() {
		db.probe()
		db.purge()
	})
	return db, nil
}

func (db *DB) open(ctx context.Context, options Options, realPath string) error {
	if err := refuseWALAlone(options.Path, realPath); err != nil {
		return err
	}
	if err := refuseCopyInUse(ctx, options.Path, realPath); err != nil {
		return err
	}
	if err := refuseForeignWAL(ctx, options.Path, realPath); err != nil {
		return err
	}
	// Each commit scans the writer's cache, so a large cache costs more time than it saves in page reads.
	writing := []string{"_txlock=immediate", "_pragma=cache_size(-4096)"}
	if options.Overwrite {
		writing = append(writing, "_pragma=secure_delete(1)")
	}
	db.Writer = db.openPool(options.Path, writing...)
	db.Writer.SetMaxOpenConns(1)
	db.Reader = db.openReaders(options.Path, max(1, options.Readers), 8<<10)
	db.QuickReader = db.openReaders(options.Path, max(1, options.QuickReaders), 2<<10)
	db.health = db.openReaders(options.Path, 1, 64)
	if err := db.Writer.PingContext(ctx); err != nil {
		return unusable("%s can't be opened (%v): is it an SQLite database, and the disk in order?", options.Path, err)
	}
	if err := migrate(ctx, db.Writer, options); err != nil {
		return err
	}
	// After this a copy of the file without its -wal file has the schema and the mark that the file is in use. The -wal file of a process that
	// was killed may have rows that were deleted since.
	emptied, err := purgeWAL(db.Writer)
	if err != nil {
		err := Translate(err)
		db.failure.Store(&err)
	}
	// If it was not emptied, another program reads the file, or the disk is full.
	db.unpurged.Store(err != nil || !emptied)
	return db.recordFiles(options.Path, realPath)
}

// Close closes all connections and releases the file. A second call does nothing.
func (db *DB) Close() (err error) {
	db.closing.Do(func() { err = db.close() })
	return err
}

func (db *DB) close() error {
	db.stopRetries()
	var errs []error
	for _, pool := range []*sql.DB{db.Reader, db.QuickReader, db.health} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	if len(db.files) > 0 {
		errs = append(errs, db.markUnused())
	}
	if db.Writer != nil {
		errs = append(errs, db.Writer.Close())
	}
	return errors.Join(append(errs, db.lock.Unlock())...)
}

// Write runs f in a transaction that holds the write lock from its beginning, and commits the transaction if f returns nil.
//
// After f has returned, the end of ctx has no effect: if a commit were cut off, it would be unknown whether it happened. The error is f's
// own, or one of the database as [Translate] returns it. After an [ErrUnavailable] the transaction may be committed, but to a file that was
// removed meanwhile, so that the next start does not find it.
func (db *DB) Write(ctx context.Context, f func(*sql.Tx) error) error {
	if err := db.checkFiles(); err != nil {
		return err
	}
	if err := db.write(ctx, f); err != nil {
		if errors.Is(err, ErrUnavailable) {
			failure := err
			db.failure.Store(&failure)
		}
		return err
	}
	return db.checkFiles()
}

func (db *DB) write(ctx context.Context, f func(*sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// database/sql itself rolls back a transaction whose context ends, so this transaction gets a context that does not end.
	tx, err := db.Writer.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return Translate(err)
	}
	// If f panics, nobody else ends the transaction, and nothing could be written any more.
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return errors.Join(Translate(err), ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		// SQLite leaves the transaction open if its commit fails, for example on a full disk.
		return errors.Join(Translate(err), ignoreDone(tx.Rollback()))
	}
	return nil
}

// Translate returns an error of the driver by its meaning for the caller: [ErrUnavailable] for an error that may pass, every other error
// unchanged.
func Translate(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	var sqliteErr *sqlite.Error
	if errors.As(err, &sqliteErr) {
		switch sqliteErr.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
			sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, driver.ErrBadConn) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

func unusable(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnusable, fmt.Sprintf(format, args...))
}

// cause returns the reason of a file error, without the paths: the message has them already.
func cause(err error) error {
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	switch {
	case errors.As(err, &pathErr):
		return pathErr.Err
	case errors.As(err, &linkErr):
		return linkErr.Err
	default:
		return err
	}
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// connector opens connections to one data source, and checks each for the needs of durability.
type connector struct {
	db     *DB
	driver *sqlite.Driver
	source string
}

// source returns the URI by which SQLite opens the file with these parameters.
func source(path string, parameters ...string) string {
	uri := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: strings.Join(parameters, "&")}
	return uri.String()
}

func (db *DB) openPool(path string, options ...string) *sql.DB {
	uri := source(path, append([]string{
		// A file that was removed is not created anew.
		"mode=rw",
		waitForLocks,
		"_pragma=journal_mode(WAL)",
		"_pragma=synchronous(FULL)",
		"_pragma=foreign_keys(1)",
		"_pragma=trusted_schema(0)",
		// Statement journals are in memory: a multi-row INSERT keeps one, and the journal needs no more durability than the statement.
		"_pragma=temp_store(2)",
		// A checkpoint writes each page once, however often it changed since the last checkpoint. There are about 64 MB of log between two.
		"_pragma=wal_autocheckpoint(16000)",
		"_pragma=journal_size_limit(67108864)",
	}, options...)...)
	d := &sqlite.Driver{}
	d.RegisterConnectionHook(checkDurability)
	d.RegisterConnectionHook(keepWAL)
	return sql.OpenDB(connector{db: db, driver: d, source: uri})
}

// openReaders returns connections that can't write, each with a cache of cacheKiB KiB.
func (db *DB) openReaders(path string, connections, cacheKiB int) *sql.DB {
	pool := db.openPool(path, "_pragma=query_only(1)", fmt.Sprintf("_pragma=cache_size(-%d)", cacheKiB))
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool
}

// Connect implements driver.Connector. It refuses a file that is not the one that the other connections have open.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	// SQLite itself would remove the -wal file beside an empty file.
	if err := c.db.checkFiles(); err != nil {
		return nil, err
	}
	conn, err := c.driver.Open(c.source)
	if err != nil {
		return nil, err
	}
	if err := c.db.checkFiles(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return c.driver }

// checkDurability refuses a connection on which a commit would not be on disk. The settings belong to one connection, so they are read back
// on each.
func checkDurability(conn sqlite.ExecQuerierContext, _ string) error {
	for pragma, want := range map[string]any{"journal_mode": "wal", "synchronous": int64(2)} {
		got, err := queryValue(conn, "PRAGMA "+pragma)
		if err != nil {
			return fmt.Errorf("reading %s: %w", pragma, err)
		}
		if got != want {
			return fmt.Errorf("%s is %v, want %v", pragma, got, want)
		}
	}
	return nil
}

// keepWAL makes SQLite keep the -wal file when the last connection closes: [DB.markUnused] decides whether it may be removed.
func keepWAL(conn sqlite.ExecQuerierContext, _ string) error { return setKeepWAL(conn, 1) }

func setKeepWAL(conn any, mode int) error {
	_, err := conn.(sqlite.FileControl).FileControlPersistWAL("main", mode)
	return err
}

func queryValue(conn sqlite.ExecQuerierContext, query string) (any, error) {
	rows, err := conn.QueryContext(context.Background(), query, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	values := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(values); err != nil {
		return nil, err
	}
	return values[0], nil
}

// migrate brings the schema up to date, and marks the file as in use.
func migrate(ctx context.Context, db *sql.DB, options Options) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return unusable("%s can't be written (%v): make it and its folder writable, or name another path", options.Path, err)
	}
	defer func() { _ = tx.Rollback() }()
	var version, applicationID, tables int
	if err := tx.QueryRowContext(ctx, "SELECT (SELECT user_version FROM pragma_user_version),"+
		" (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)").
		Scan(&version, &applicationID, &tables); err != nil {
		return unusable("%s can't be read (%v): is it an SQLite database?", options.Path, err)
	}
	switch {
	case tables > 0 && applicationID != int(options.ApplicationID):
		return unusable("%s belongs to another application: name another path", options.Path)
	case version > len(options.Migrations):
		return unusable("%s has schema %d, newer than the %d that this binary knows: run a newer binary, or name another path",
			options.Path, version, len(options.Migrations))
	}
	if err := markInUse(ctx, tx, options.Path); err != nil {
		return err
	}
	for step, migration := range options.Migrations[version:] {
		_, err := tx.ExecContext(ctx, migration.Script)
		if err == nil && migration.Fill != nil {
			err = migration.Fill(ctx, tx)
		}
		if err != nil {
			return unusable("%s can't be brought from schema %d to %d (%v)", options.Path, version+step, version+step+1, err)
		}
	}
	if version < len(options.Migrations) {
		// A PRAGMA takes no arguments. Both values are our own numbers.
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d",
			len(options.Migrations), options.ApplicationID)); err != nil {
			return unusable("%s can't be marked as schema %d (%v)", options.Path, len(options.Migrations), err)
		}
	}
	if err := tx.Commit(); err != nil {
		return unusable("%s can't be written (%v): is the disk full?", options.Path, err)
	}
	return nil
}
