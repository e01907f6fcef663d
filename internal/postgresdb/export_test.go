package postgresdb

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// CheckServer is how a server is judged. Tests have no server that is too old.
var CheckServer = checkServer

// MigrationLock is the number of the advisory lock that whoever migrates holds.
var MigrationLock = migrationLock

// OpenWithin is [Open] with another bound on each of its waits.
var OpenWithin = openWithin

// Pool returns the connections.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// SetTimeouts changes the bounds of [DB.Write] and [DB.Close]. It must not be called while one of them runs.
func (db *DB) SetTimeouts(write, closing time.Duration) {
	db.writeTimeout, db.closeTimeout = write, closing
}

// CheckAlways has the server looked at whenever a connection is used. It must not be called while one is.
func (db *DB) CheckAlways() { db.recheckInterval = 0 }

// ConnectTimeout is the bound on one attempt to connect.
func ConnectTimeout(url string) (time.Duration, error) {
	config, err := parse(Options{URL: url})
	if err != nil {
		return 0, err
	}
	return config.ConnConfig.ConnectTimeout, nil
}
