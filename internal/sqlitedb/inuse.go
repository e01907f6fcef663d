package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

const (
	// inUse is the name of the row that marks a file as in use: a process has it open, or had it open when the process was killed. The last
	// commits of such a file are in its -wal file. Without a -wal file it is a copy that somebody made by hand, and lacks these commits.
	inUse = "in use"

	walSuffix  = "-wal"
	shmSuffix  = "-shm"
	lockSuffix = ".lock"
)

// refuseWALAlone returns an error for an empty file beside which there is a -wal file: the database of the -wal file was removed, and
// SQLite would delete the last writes. A crash does not cause this: the database is on disk before its -wal file is made.
func refuseWALAlone(path, realPath string) error {
	database, err := os.Stat(realPath)
	if err != nil || database.Size() > 0 {
		return nil //nolint:nilerr // Opening the file reports what is wrong with it.
	}
	if wal, err := os.Stat(realPath + walSuffix); err != nil || wal.Size() == 0 {
		return nil //nolint:nilerr // There is no -wal file.
	}
	return unusable("%s is missing or empty, and %s%s has what was written to it last: put the database back beside that, or move it away"+
		" to start with a new database", path, realPath, walSuffix)
}

// refuseCopyInUse returns an error for a file that was in use and lacks its -wal file. The -wal file is never missing after a crash: SQLite
// syncs its folder with the first commit, and the mark gets into the database only by a checkpoint of the -wal file.
func refuseCopyInUse(ctx context.Context, path, realPath string) error {
	if _, err := os.Stat(realPath + walSuffix); !errors.Is(err, fs.ErrNotExist) || !isMarked(ctx, path, "immutable=1") {
		return nil
	}
	return unusable("%s was copied while in use, or %s%s was removed, so it may lack what was written last: restore a copy that the"+
		" command backup made, or make an empty file %s%s to start with what is there", path, path, walSuffix, realPath, walSuffix)
}

// isMarked reports whether a file is marked as in use: with its -wal file, or without it if parameters has immutable=1. A file that can't
// be read as a database, or has no such table, is not marked.
func isMarked(ctx context.Context, path string, parameters ...string) (marked bool) {
	err := withConn(ctx, ErrUnusable, path, func(conn *sql.Conn) error {
		return conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM housekeeping WHERE name = ?)", inUse).Scan(&marked)
	}, append(parameters, "mode=ro")...)
	return err == nil && marked
}

// markInUse marks the file as in use. It writes the mark even if a crash has left one: the commit syncs the -wal file, and with it the last
// writes of the process that crashed. SQLite shows these writes to readers from now on, but they may not be on disk. A call that finds its
// change already made writes nothing that would sync them.
func markInUse(ctx context.Context, tx *sql.Tx, path string) error {
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS housekeeping (name TEXT PRIMARY KEY, value BLOB) STRICT",
		fmt.Sprintf("INSERT OR REPLACE INTO housekeeping (name) VALUES ('%s')", inUse),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return unusable("%s can't be written (%v): is the disk full?", path, err)
		}
	}
	return nil
}

// markUnused moves the content of the -wal file into the database, and marks the database as complete. If it can't, because another process
// reads the database or the disk is full, the mark and the -wal file stay, as after a crash.
func (db *DB) markUnused() error {
	if db.files[0].check() != nil {
		return nil //nolint:nilerr // The file was replaced or removed: there is none to mark.
	}
	// The mark is removed last, so that a file that lacks commits always has the mark.
	complete, err := checkpoint(db.Writer)
	if err == nil && complete {
		err = db.write(context.Background(), func(tx *sql.Tx) error {
			_, err := tx.Exec("DELETE FROM housekeeping")
			return err
		})
	}
	if errors.Is(ClassifyError(err), ErrUnavailable) {
		return nil
	}
	if err != nil || !complete {
		return err
	}
	if db.checkFiles() != nil {
		//nolint:nilerr // SQLite would remove the -wal file by its name, and another process's file may have the name now.
		return nil
	}
	conn, err := db.Writer.Conn(context.Background())
	if err != nil {
		return err
	}
	return errors.Join(conn.Raw(func(conn any) error { return setKeepWAL(conn, 0) }), conn.Close())
}
