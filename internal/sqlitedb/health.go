package sqlitedb

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"
)

const (
	// spaceProbe is the name of the row that a probe writes and deletes.
	spaceProbe = "space probe"
	// probeBytes is the number of bytes that a probe writes. It is more than most transactions write: a failed transaction leaves free space
	// in the -wal file, about as much as it wrote. A smaller probe would succeed in this space while the disk is full.
	probeBytes = 1 << 20
)

// Check returns an [ErrUnavailable] with the reason if nothing can be written: a file of the database was removed or replaced, or a write
// failed for lack of space or the like and none has succeeded since. It neither reads nor writes the database, and never waits.
func (db *DB) Check() error {
	if err := db.checkFiles(); err != nil {
		return err
	}
	if err := db.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Ping returns nil if the database can be read and there is no known reason why it can't be written to. It has its own connection, so it
// waits for no other read. Errors: those of [DB.Check], and of the database as [ClassifyError] returns them.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.Check(); err != nil {
		return err
	}
	// The query reads a page of the file. A query for a constant would succeed without reading any.
	var one int
	return ClassifyError(db.health.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM housekeeping LIMIT 1)").Scan(&one))
}

// probe writes something if the last write failed, and clears the failure if the probe succeeds. It runs once a second. Other writes do not
// show that writing works again: a write that changes nothing needs no space, and while [DB.Check] fails there may be no writes at all.
func (db *DB) probe() {
	failed := db.failure.Load()
	if failed == nil || db.checkFiles() != nil {
		return
	}
	for _, statement := range []string{
		fmt.Sprintf("INSERT OR REPLACE INTO housekeeping (name, value) VALUES ('%s', zeroblob(%d))", spaceProbe, probeBytes),
		fmt.Sprintf("DELETE FROM housekeeping WHERE name = '%s'", spaceProbe),
	} {
		if err := db.write(context.Background(), func(tx *sql.Tx) error {
			_, err := tx.Exec(statement)
			return err
		}); err != nil {
			return
		}
	}
	// The failure stays if another write has failed meanwhile.
	db.failure.CompareAndSwap(failed, nil)
}

// everySecond calls f once a second until stop returns. stop must be called once.
func everySecond(f func()) (stop func()) {
	stopped := make(chan struct{})
	var calling sync.WaitGroup
	calling.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				f()
			case <-stopped:
				return
			}
		}
	})
	return func() {
		close(stopped)
		calling.Wait()
	}
}
