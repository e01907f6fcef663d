package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
)

// ErrBackup is returned if a backup could not be made. The text names the file and the fix.
var ErrBackup = errors.New("backup failed")

// Backup writes a copy of the database of options, as it is at one moment, to the new file to. Another process may have the database open
// and write to it. The copy is one file without a -wal file, has no deleted data, and is on disk when Backup returns. It is checked before
// it gets its name. Until then an empty file has the name.
//
// progress is called at the beginning and then once a second, with the approximate numbers of bytes that are copied and that are to be
// copied. When both are equal, the copy is being checked. It is not called after Backup returns.
//
// Errors are [ErrBackup] with a message for the operator, or ctx's. After an error no file is left.
func Backup(ctx context.Context, options Options, to string, progress func(done, total int64)) (err error) {
	from := options.Path
	if info, err := os.Stat(from); err != nil || !info.Mode().IsRegular() {
		return backupError("there is no database %s: name the file that the service has", from)
	}
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
	// SQLite makes files beside the copy while it works on the copy.
	folder, err := os.MkdirTemp(filepath.Dir(to), ".backup-*")
	if err != nil {
		return backupError("the folder of %s can't be written (%v): name a file in a folder that can be written", to, cause(err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	copied := filepath.Join(folder, "copy.db")
	if err := makeCopy(ctx, options, copied, progress); err != nil {
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

// makeCopy copies a database to the file to, and checks the copy.
func makeCopy(ctx context.Context, options Options, to string, progress func(done, total int64)) error {
	from := options.Path
	var total int64
	var copied atomic.Bool
	report := func() {
		if copied.Load() {
			progress(total, total)
		} else if info, err := os.Stat(to); err == nil {
			progress(min(info.Size(), total-1), total)
		}
	}
	// Made here, because SQLite would make the file readable by everyone.
	if err := os.WriteFile(to, nil, 0o600); err != nil {
		return backupError("the copy can't be written (%v): is the disk full?", cause(err))
	}
	if err := withConn(ctx, ErrBackup, from, func(conn *sql.Conn) error {
		var applicationID int
		err := conn.QueryRowContext(ctx, "SELECT page_count * page_size, application_id"+
			" FROM pragma_page_count, pragma_page_size, pragma_application_id").Scan(&total, &applicationID)
		switch {
		case err != nil:
			return backupError("%s can't be read (%v): is it an SQLite database, and may this user write to its folder?", from, err)
		case applicationID != int(options.ApplicationID):
			return backupError("%s is not a database of this service: name the file that the service has", from)
		}
		report()
		defer everySecond(report)()
		if _, err := conn.ExecContext(ctx, "VACUUM INTO ?", source(to)); err != nil {
			return backupError("%s can't be copied (%v): is the disk of the copy full, or the database damaged?", from, err)
		}
		return nil
	}, "mode=ro"); err != nil {
		return err
	}
	copied.Store(true)
	report()
	defer everySecond(report)()
	return withConn(ctx, ErrBackup, to, func(conn *sql.Conn) error { return finishCopy(ctx, conn, from) }, "mode=rw")
}

// finishCopy removes the marks of a database in use from the copy, and checks it.
func finishCopy(ctx context.Context, conn *sql.Conn, from string) error {
	var marked bool
	err := conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'housekeeping')").Scan(&marked)
	if err == nil && marked {
		_, err = conn.ExecContext(ctx, "DELETE FROM housekeeping")
	}
	if err != nil {
		return backupError("the copy of %s can't be written (%v): is the disk full?", from, err)
	}
	if err := checkIntegrity(ctx, conn); err != nil {
		return backupError("the copy of %s is not in order (%v): check the database itself, and the disk", from, err)
	}
	return nil
}

func backupError(format string, args ...any) error {
	return newError(ErrBackup, format, args...)
}

// syncFile writes a file or folder to disk.
func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
