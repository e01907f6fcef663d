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
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gofrs/flock"
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
		err := ClassifyError(err)
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
// own, or one of the database as [ClassifyError] returns it. After an [ErrUnavailable] the transaction may be committed, but to a file that
// was removed meanwhile, so that the next start does not find it.
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
		return ClassifyError(err)
	}
	// Rollback ends the transaction if f fails or panics. After Commit it does nothing: the driver itself rolls back a transaction whose
	// commit fails, for example on a full disk.
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return ClassifyError(err)
	}
	return ClassifyError(tx.Commit())
}
