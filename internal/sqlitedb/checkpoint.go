package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// waitForLocks is the parameter of a URI that makes SQLite wait for locks of another process.
var waitForLocks = fmt.Sprintf("_pragma=busy_timeout(%d)", busyTimeout.Milliseconds())

const (
	// busyTimeout bounds the wait of a connection for a lock of another process.
	busyTimeout = 5 * time.Second
	// purgeWait bounds the time for which the emptying of the -wal file waits for readers of an older state, and blocks writes. Readers that
	// begin meanwhile do not read the -wal file, so only a reader that takes longer than purgeWait prevents the emptying.
	purgeWait = 50 * time.Millisecond
)

// PurgeWAL empties the -wal file, which otherwise keeps older versions of rows that were changed or deleted since. If somebody reads an
// older state, or the disk is full, it is retried once a second until it succeeds, and also when the database is opened next.
func (db *DB) PurgeWAL() {
	// Set before the attempt: rows of another caller may be added to the file after the attempt begins.
	db.PurgeWALLater()
	db.purge()
}

// PurgeWALLater empties the -wal file about a second later, as [DB.PurgeWAL] does. It is for the transaction that changes or deletes rows:
// [DB.Write] can return an error although the transaction is committed.
func (db *DB) PurgeWALLater() { db.unpurged.Store(true) }

func (db *DB) purge() {
	if !db.unpurged.Swap(false) {
		return
	}
	if db.checkFiles() == nil {
		if emptied, err := purgeWAL(db.Writer); err == nil && emptied {
			return
		}
	}
	db.unpurged.Store(true)
}

// purgeWAL moves the content of the -wal file into the database, and makes the -wal file empty. It reports whether that succeeded.
func purgeWAL(writer *sql.DB) (emptied bool, err error) {
	ctx := context.Background()
	conn, err := writer.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := setBusyTimeout(ctx, conn, purgeWait); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, setBusyTimeout(ctx, conn, busyTimeout)) }()
	var busy, inWAL, moved int
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &inWAL, &moved)
	return busy == 0, err
}

func setBusyTimeout(ctx context.Context, conn *sql.Conn, timeout time.Duration) error {
	_, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", timeout.Milliseconds()))
	return err
}

// checkpoint moves the content of the -wal file into the database, as far as nobody reads an older state, and without waiting for readers.
// complete reports whether all of it was moved.
func checkpoint(writer *sql.DB) (complete bool, err error) {
	var busy, inWAL, moved int
	err = writer.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &inWAL, &moved)
	return busy == 0 && inWAL == moved, err
}
