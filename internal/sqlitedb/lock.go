package sqlitedb

import (
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// makeFile makes the database's file where it is missing, and returns its path without symbolic links. SQLite keeps its other files, and
// this package the lock, beside the file and not beside a link to it.
func makeFile(path string) (realPath string, err error) {
	// Made here, because SQLite would make it readable to everyone.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", unusable("%s can't be written (%v): make it writable, or name another path", path, cause(err))
	}
	info, err := file.Stat()
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", unusable("%s can't be written (%v): make it writable, or name another path", path, cause(err))
	}
	// Each name would have a -wal file and a lock of its own.
	if links(info) > 1 {
		return "", unusable("%s has several names (hard links), by which it can be opened twice: if a restore was cut short, run it again;"+
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
