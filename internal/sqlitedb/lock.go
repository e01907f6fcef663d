package sqlitedb

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// makeFile makes the database's file if it is missing, and returns its path without symbolic links. SQLite keeps its other files beside the
// file and not beside a link to it, and so does this package with the lock.
func makeFile(path string) (realPath string, err error) {
	// Made here, because SQLite would make the file readable by everyone.
	var info os.FileInfo
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		info, err = file.Stat()
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return "", unusable("%s can't be written (%v): make it writable, or name another path", path, cause(err))
	}
	// Each name would have its own -wal file and its own lock.
	if links(info) > 1 {
		return "", unusable("%s has several names (hard links), by which it can be opened twice: if a restore was interrupted, repeat it;"+
			" otherwise copy it to a file of its own (cp), and put that in its place", path)
	}
	if realPath, err = filepath.EvalSymlinks(path); err != nil {
		return "", unusable("%s can't be found (%v): name another path", path, cause(err))
	}
	return realPath, nil
}

// lockFile locks the database at realPath, which has no symbolic links, for this process. path is its name for people.
func lockFile(path, realPath string) (*flock.Flock, error) {
	lock := flock.New(realPath+lockSuffix, flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, unusable("%s can't be locked (%v): make its folder writable, or name another path", path, cause(err))
	}
	if !locked {
		return nil, unusable("%s is in use by another process: stop that one, or name another path", path)
	}
	return lock, nil
}
