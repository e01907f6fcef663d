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

// CheckServer is checkServer. Tests have no server that is too old.
var CheckServer = checkServer

// MigrationLock is migrationLock.
var MigrationLock = migrationLock

// OpenWithin is [Open] with another limit for each of its waits.
var OpenWithin = openWithin

// Pool returns the pool of connections.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// SetTimeouts changes the timeouts of [DB.Write] and [DB.Close]. It must not be called while one of them runs.
func (db *DB) SetTimeouts(write, closing time.Duration) {
	db.writeTimeout, db.closeTimeout = write, closing
}

// CheckAlways makes each use of a connection check the server. It must not be called while a connection is in use.
func (db *DB) CheckAlways() { db.recheckInterval = 0 }

// SetHangTimeout changes how long a write takes before the server is checked for a hang. It must not be called while a write runs.
func (db *DB) SetHangTimeout(timeout time.Duration) { db.hangTimeout = timeout }

// SortedHosts returns the network addresses of a URL's servers in the order in which a connection tries them. answered is the address of
// the server that answered last, and hung that of the server that hangs.
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
	s.track(config)
	// The first connection resolves the names.
	_, _ = pgx.ConnectConfig(ctx, config)
	tried = nil
	s.sort(config)
	_, _ = pgx.ConnectConfig(ctx, config)
	return tried, nil
}

// ConnectTimeout returns the timeout of one attempt to connect.
func ConnectTimeout(url string) (time.Duration, error) {
	config, err := parse(Options{URL: url})
	if err != nil {
		return 0, err
	}
	return config.ConnConfig.ConnectTimeout, nil
}

// NextConnection returns a function that returns the configuration of a new connection, with the servers in the order of the URL.
func NextConnection(url string) (next func(context.Context) *pgx.ConnConfig, err error) {
	config, err := parse(Options{URL: url})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) *pgx.ConnConfig {
		connection := config.ConnConfig.Copy()
		_ = config.BeforeConnect(ctx, connection)
		return connection
	}, nil
}
