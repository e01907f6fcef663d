package sqlitedb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// openFile is a file that the database has open.
type openFile struct {
	path string
	info os.FileInfo
}

// recordFiles records which files the database has open.
func (db *DB) recordFiles(path, realPath string) error {
	for _, path := range []string{path, realPath + walSuffix, realPath + shmSuffix} {
		info, err := os.Stat(path)
		if err != nil {
			return unusable("%s can't be found (%v): is something else removing it?", path, cause(err))
		}
		db.files = append(db.files, openFile{path, info})
	}
	info, err := db.lock.Stat()
	if err != nil {
		return unusable("%s can't be read (%v): is the disk in order?", db.lock.Path(), cause(err))
	}
	db.files = append(db.files, openFile{db.lock.Path(), info})
	return db.checkFiles()
}

// checkFiles returns an [ErrUnavailable] if a file that the database has open is no longer the one at its path: writes would then be lost
// when the process ends. Sizes are not compared, because another program may make the files smaller without losing data: by VACUUM, or by a
// checkpoint that truncates.
func (db *DB) checkFiles() error {
	for _, file := range db.files {
		if err := file.check(); err != nil {
			return err
		}
	}
	return nil
}

func (f openFile) check() error {
	info, err := os.Stat(f.path)
	var what string
	switch {
	case err == nil && os.SameFile(info, f.info):
		return nil
	case err == nil:
		what = "was replaced by another file"
	case errors.Is(err, fs.ErrNotExist):
		what = "was removed"
	default:
		what = fmt.Sprintf("can't be found any more (%v)", cause(err))
	}
	return fmt.Errorf("%w: %s %s while in use, and nothing is written until it is back: move the file back, or copy the old file before"+
		" you restart (docs/backup.md), because what was acknowledged before is in that file alone", ErrUnavailable, f.path, what)
}
