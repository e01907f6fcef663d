package sqlitedb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// refuseForeignWAL returns an error for a file beside which there is the -wal file of another database. That happens if a backup was copied
// over a database in use. SQLite can't detect it, and would mix both.
//
// A file with its own -wal file is marked as in use. There are two exceptions, both after a crash: just after the mark was written, the
// mark is in the -wal file; just before the -wal file is removed, the database has everything that is in the -wal file.
func refuseForeignWAL(ctx context.Context, path, realPath string) error {
	wal, err := os.Stat(realPath + walSuffix)
	if err != nil || wal.Size() == 0 || isMarked(ctx, path, "immutable=1") || isMarked(ctx, path) {
		return nil //nolint:nilerr // There is no -wal file, or it belongs to the database.
	}
	if complete, err := hasAllOfWAL(realPath); err != nil || complete {
		return err
	}
	return unusable("%s was replaced while %s%s, which another database left, stayed: move that file away to start with what is in %[1]s,"+
		" and use the command restore the next time", path, realPath, walSuffix)
}

// The format of a -wal file: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
const (
	walHeaderBytes   = 32
	frameHeaderBytes = 24
)

// hasAllOfWAL reports whether each page of the -wal file is the same in the database at realPath.
func hasAllOfWAL(realPath string) (complete bool, err error) {
	database, err := os.Open(realPath)
	if err != nil {
		return false, unusable("%s can't be read (%v): make it readable", realPath, cause(err))
	}
	defer func() { _ = database.Close() }()
	wal, err := os.Open(realPath + walSuffix)
	if err != nil {
		return false, unusable("%s%s can't be read (%v): make it readable", realPath, walSuffix, cause(err))
	}
	defer func() { _ = wal.Close() }()
	var header [walHeaderBytes]byte
	if _, err := io.ReadFull(wal, header[:]); err != nil {
		// SQLite ignores a -wal file without a header.
		return true, nil
	}
	pageBytes := int64(binary.BigEndian.Uint32(header[8:]))
	if pageBytes < 512 || pageBytes > 65536 {
		return true, nil
	}
	salts := header[16:24]
	// The last frame of each page, by page number. A frame with other salts is older than the header, and so are all frames after it.
	latest := map[uint32]int64{}
	var frame [frameHeaderBytes]byte
	for offset := int64(walHeaderBytes); ; offset += frameHeaderBytes + pageBytes {
		if _, err := wal.ReadAt(frame[:], offset); err != nil || !bytes.Equal(frame[8:16], salts) {
			break
		}
		latest[binary.BigEndian.Uint32(frame[:])] = offset + frameHeaderBytes
	}
	inWAL, inDatabase := make([]byte, pageBytes), make([]byte, pageBytes)
	for number, offset := range latest {
		_, walErr := wal.ReadAt(inWAL, offset)
		_, databaseErr := database.ReadAt(inDatabase, (int64(number)-1)*pageBytes)
		if errors.Join(walErr, databaseErr) != nil || !bytes.Equal(inWAL, inDatabase) {
			return false, nil
		}
	}
	return true, nil
}
