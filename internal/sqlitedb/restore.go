package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrRestore is returned if a backup could not be restored. The text names the file and the fix.
var ErrRestore = errors.New("restore failed")

// Restored is the result of [Restore].
type Restored struct {
	// Bytes is the size of the restored database.
	Bytes int64
	// Aside is the name under which the old files are kept. Empty if there were none.
	Aside string
}

// asideLayout is the end of the name under which the old database is kept, as a layout of package time.
const asideLayout = ".before-restore-20060102-150405"

// Restore replaces the database that options name by a copy of the file backup, which [Backup] made. It checks the copy first: the copy
// must be complete and undamaged, of the same application, and its schema must not be newer than the migrations of options. The old
// database, with its -wal file and the like, gets a name beside it that ends in now. All is on disk when Restore returns.
//
// No process may have the database open, and none can open it meanwhile. If Restore is cut off, by an error or by a crash, a service either
// finds the old database or refuses to start. It never finds an empty database, or a database with the -wal file of the other.
//
// Errors are [ErrRestore] or [ErrUnusable] with a message for the operator, or ctx's. After an error everything is as before,
// except after an error that says that the database is restored and can't be written to disk.
func Restore(ctx context.Context, backup string, options Options, now time.Time) (restored Restored, err error) {
	info, err := os.Stat(backup)
	switch {
	case err != nil:
		return restored, restoreError("%s can't be read (%v): name a file that the command backup made", backup, cause(err))
	case !info.Mode().IsRegular():
		return restored, restoreError("%s is not a file: name a file that the command backup made", backup)
	}
	if wal, err := os.Stat(backup + walSuffix); err == nil && wal.Size() > 0 {
		return restored, restoreError("%s has a file %s%s beside it, so it is a database and not a backup: make a backup of it with the command"+
			" backup, and restore that", backup, backup, walSuffix)
	}
	if err := os.MkdirAll(filepath.Dir(options.Path), 0o700); err != nil {
		return restored, restoreError("the folder of %s can't be made (%v): name a path in a folder that can be written", options.Path,
			cause(err))
	}
	realPath, err := resolve(options.Path)
	if err != nil {
		return restored, restoreError("%s is a link that leads nowhere (%v): remove it, or name another path", options.Path, cause(err))
	}
	lock, err := lockFile(options.Path, realPath)
	if err != nil {
		return restored, err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if old, err := os.Stat(realPath); err == nil && os.SameFile(old, info) {
		return restored, restoreError("%s is the database itself: name a file that the command backup made", backup)
	}
	// Made in the database's folder, so that the copy can be renamed.
	folder, err := os.MkdirTemp(filepath.Dir(realPath), ".restore-*")
	if err != nil {
		return restored, restoreError("the folder of %s can't be written (%v): make it writable", options.Path, cause(err))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	copied := filepath.Join(folder, "copy.db")
	if restored.Bytes, err = copyFile(ctx, backup, copied); err == nil {
		err = checkBackup(ctx, copied, backup, options)
	}
	if err == nil && isMarked(ctx, copied) {
		err = restoreError("%s was copied while a service used it, so it may lack what was written last: restore a file that the command"+
			" backup made", backup)
	}
	if ctx.Err() != nil {
		return restored, context.Cause(ctx)
	}
	if err != nil {
		return restored, err
	}
	restored.Aside, err = replace(realPath, copied, now)
	return restored, err
}

// resolve returns the path of a file without symbolic links, whether or not the file exists.
func resolve(path string) (string, error) {
	if _, err := os.Lstat(path); err == nil {
		return filepath.EvalSymlinks(path)
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	return filepath.Join(folder, filepath.Base(path)), err
}

// copyFile copies a file to a new one, and syncs the new file to disk.
func copyFile(ctx context.Context, from, to string) (size int64, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, restoreError("%s can't be read (%v): may this user read it?", from, cause(err))
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, restoreError("the copy can't be written (%v): is the disk full?", cause(err))
	}
	size, err = io.Copy(out, readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return in.Read(p)
	}))
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return 0, restoreError("%s can't be copied (%v): is the disk full, or failing?", from, cause(err))
	}
	return size, nil
}

type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// checkBackup returns nil if a service with these options can have made the file copied, a copy of backup. Otherwise it returns an error.
func checkBackup(ctx context.Context, copied, backup string, options Options) error {
	return withConn(ctx, ErrRestore, copied, func(conn *sql.Conn) error {
		var version, applicationID int
		err := conn.QueryRowContext(ctx, "SELECT (SELECT user_version FROM pragma_user_version),"+
			" (SELECT application_id FROM pragma_application_id)").Scan(&version, &applicationID)
		switch {
		case err != nil:
			return restoreError("%s can't be read (%v): name a file that the command backup made", backup, err)
		case applicationID != int(options.ApplicationID):
			return restoreError("%s is not a backup of this service: name another file", backup)
		case version > len(options.Migrations):
			return restoreError("%s has schema %d, newer than the %d that this binary knows: use a newer binary", backup, version,
				len(options.Migrations))
		}
		if err := checkIntegrity(ctx, conn); err != nil {
			return restoreError("%s is damaged (%v): restore another backup", backup, err)
		}
		return nil
	}, "mode=rw")
}

// replace replaces the database by the file copied, and returns the new name of the old database, if there was one.
func replace(realPath, copied string, now time.Time) (aside string, err error) {
	var undo []func() error
	defer func() {
		if err == nil {
			return
		}
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	keep := realPath + now.UTC().Format(asideLayout)
	// The old database gets a second name first, so that there is a database at each moment: if there were none, a service would make an empty
	// one.
	err = os.Link(realPath, keep)
	switch {
	case err == nil:
		aside = keep
		undo = append(undo, func() error { return os.Remove(keep) })
	case !errors.Is(err, fs.ErrNotExist):
		return "", restoreError("%s can't be kept as %s (%v): try again, or move it away yourself", realPath, keep, cause(err))
	}
	for _, suffix := range []string{walSuffix, shmSuffix, "-journal"} {
		from, to := realPath+suffix, keep+suffix
		switch err := os.Rename(from, to); {
		case err == nil:
			aside = keep
			undo = append(undo, func() error { return os.Rename(to, from) })
		case !errors.Is(err, fs.ErrNotExist):
			return "", restoreError("%s can't be moved to %s (%v): move it away yourself, and try again", from, to, cause(err))
		}
	}
	folder := filepath.Dir(realPath)
	// The removal of the -wal file is synced before the backup gets the database's name.
	if err := errors.Join(syncFile(folder), os.Rename(copied, realPath)); err != nil {
		return "", restoreError("%s can't be written (%v): make its folder writable, and try again", realPath, cause(err))
	}
	undo = nil
	if err := syncFile(folder); err != nil {
		return aside, restoreError("%s is restored, and can't be written to disk (%v): is the disk in order?", realPath, cause(err))
	}
	return aside, nil
}

func restoreError(format string, args ...any) error {
	return newError(ErrRestore, format, args...)
}
