package sqlitedb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// ErrBackup says that a backup could not be made. The text names the file and what to do about it.
var ErrBackup = errors.New("backup failed")

// backupPages is how many pages are copied between two looks at the context: 4 MiB.
const backupPages = 1024

// Backup writes a copy of the database at path from, as it is at one moment, to the new file to, whoever has the database open and
// writes to it. The copy is one file without a -wal file, and on disk when Backup returns. It is checked before it gets its name; while
// that takes, an empty file has the name.
//
// progress is called with the number of bytes copied and to be copied, and for the last time, with both equal, before the copy is checked.
//
// Errors are [ErrBackup] with a text for whoever named the files, or ctx's. After an error no file is left.
func Backup(ctx context.Context, from, to string, progress func(done, total int64)) (err error) {
	reserved, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return backupError("%s exists already: name a new file", to)
	}
	if err == nil {
		err = reserved.Close()
	}
	if err != nil {
		return backupError("%s can't be written (%v): name a file in a folder that can be written", to, cause(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	// SQLite makes files beside the copy while it works on it.
	folder, err := os.MkdirTemp(filepath.Dir(to), ".backup-*")
	if err != nil {
		return backupError("the folder of %s can't be written (%v): name a file in a folder that can be written", to, cause(err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	copied := filepath.Join(folder, "copy.db")
	if err := copyDatabase(ctx, from, copied, progress); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	if err := errors.Join(syncFile(copied), os.Rename(copied, to), syncFile(filepath.Dir(to))); err != nil {
		return backupError("%s can't be written (%v): is the disk full?", to, cause(err))
	}
	return nil
}

// copyDatabase makes the file to a copy of a database, and checks it.
func copyDatabase(ctx context.Context, from, to string, progress func(done, total int64)) (err error) {
	if info, err := os.Stat(from); err != nil || !info.Mode().IsRegular() {
		return backupError("there is no database %s: name the file that the service has", from)
	}
	d := &sqlite.Driver{}
	// A connection that can't write does not remove the -wal file either, should the service end meanwhile.
	opened, err := d.Open(source(from, "mode=ro", "_pragma=busy_timeout(5000)"))
	if err != nil {
		return backupError("%s can't be opened (%v): may this user read it, and write to its folder?", from, err)
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	// One transaction around all steps: otherwise each commit of the service would make the backup begin anew.
	conn := opened.(backupConn)
	if _, err := conn.ExecContext(ctx, "BEGIN", nil); err != nil {
		return backupError("%s can't be read (%v)", from, err)
	}
	if _, err := queryValue(ctx, conn, "SELECT count(*) FROM sqlite_schema"); err != nil {
		return backupError("%s can't be read (%v): is it an SQLite database?", from, err)
	}
	pageSize, err := queryValue(ctx, conn, "PRAGMA page_size")
	if err != nil {
		return backupError("%s can't be read (%v)", from, err)
	}
	// Made here, because SQLite would make it readable to everyone.
	if err := os.WriteFile(to, nil, 0o600); err != nil {
		return backupError("%s can't be written (%v)", to, cause(err))
	}
	backup, err := conn.NewBackup(source(to, "_pragma=cache_size(-16384)"))
	if err != nil {
		return backupError("the copy of %s can't be written (%v): is the disk full?", from, err)
	}
	for more := true; more && err == nil; {
		if err = ctx.Err(); err == nil {
			more, err = backup.Step(backupPages)
			total := int64(backup.PageCount())
			progress((total-int64(backup.Remaining()))*pageSize.(int64), total*pageSize.(int64))
		}
	}
	if err != nil {
		return errors.Join(backupError("%s can't be copied (%v): is the disk full?", from, err), backup.Finish())
	}
	copied, err := backup.Commit()
	if err != nil {
		return backupError("%s can't be copied (%v): is the disk full?", from, err)
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	return finishCopy(ctx, from, copied.(sqlite.ExecQuerierContext))
}

// backupConn is what this package uses of the driver's connections.
type backupConn interface {
	sqlite.ExecQuerierContext
	NewBackup(uri string) (*sqlite.Backup, error)
}

// finishCopy makes a copy one that nobody has open, and checks it.
func finishCopy(ctx context.Context, from string, conn sqlite.ExecQuerierContext) error {
	// Without a -wal file it is a file like any other. The service that opens it changes that back.
	if mode, err := queryValue(ctx, conn, "PRAGMA journal_mode = DELETE"); err != nil || mode != "delete" {
		return backupError("the copy of %s can't be written (%v, journal mode %v): is the disk full?", from, err, mode)
	}
	marked, err := queryValue(ctx, conn, "SELECT count(*) FROM sqlite_schema WHERE name = 'housekeeping'")
	if err == nil && marked != int64(0) {
		_, err = conn.ExecContext(ctx, "DELETE FROM housekeeping", nil)
	}
	if err != nil {
		return backupError("the copy of %s can't be written (%v): is the disk full?", from, err)
	}
	found, err := queryValue(ctx, conn, "PRAGMA integrity_check(1)")
	if err == nil && found != "ok" {
		err = fmt.Errorf("integrity_check found: %s", strings.ReplaceAll(fmt.Sprint(found), "\n", " "))
	}
	if err != nil {
		return backupError("the copy of %s is not in order (%v): check the database itself, and the disk", from, err)
	}
	return nil
}

func backupError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBackup, fmt.Sprintf(format, args...))
}

// syncFile has a file or folder written to disk.
func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

func queryValue(ctx context.Context, conn sqlite.ExecQuerierContext, query string) (any, error) {
	rows, err := conn.QueryContext(ctx, query, nil)
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
