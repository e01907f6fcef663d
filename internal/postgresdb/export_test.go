package postgresdb

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

// SetHangTimeout changes how long a write takes before the server is asked whether it hangs. It must not be called while one runs.
func (db *DB) SetHangTimeout(timeout time.Duration) { db.hangTimeout = timeout }

// SortedHosts returns the network addresses of a URL's servers in the order in which a connection tries them. answered is that of the
// server that answered last, and hung that of the one that hangs.
func SortedHosts(ctx context.Context, url, answered, hung string, resolve pgconn.LookupFunc) (tried []string, err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.LookupFunc = resolve
	config.DialFunc = func(_ context.Context, _, address string) (net.Conn, error) {
		tried = append(tried, address)
		return nil, errors.New("refused")
	}
	s := &servers{answered: answered, hung: hung}
	s.watch(config)
	// The names are resolved with the first connection.
	_, _ = pgx.ConnectConfig(ctx, config)
	tried = nil
	s.sort(config)
	_, _ = pgx.ConnectConfig(ctx, config)
	return tried, nil
}

// ConnectTimeout is the bound on one attempt to connect.
func ConnectTimeout(url string) (time.Duration, error) {
	config, err := parse(Options{URL: url})
	if err != nil {
		return 0, err
	}
	return config.ConnConfig.ConnectTimeout, nil
}
