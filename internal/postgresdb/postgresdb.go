// Package postgresdb opens the PostgreSQL database in which both services can keep their data. It makes sure that the promised durability
// holds on every connection, and that a replica that hangs or dies does not block the others for long.
//
// Any number of processes share a database. Each service has its own PostgreSQL schema in it, which the service's first process makes.
package postgresdb

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/semaphore"
)

const (
	// connectTimeout bounds one attempt to connect, if the URL sets no timeout.
	connectTimeout = 5 * time.Second
	// keepAlive is the time between two keep-alive probes to a server that is silent, and keepAlives the number of them that may be
	// unanswered.
	keepAlive  = 5 * time.Second
	keepAlives = 3
	// userTimeout is the maximum time for which a server may leave sent data unacknowledged. userTimeout and the keep-alives have the values
	// that [sessionSettings] has for the server's end.
	userTimeout = 20 * time.Second
	// openTimeout bounds each wait of [Open]: for the server, for another replica that changes the schema, and for the locks of a schema
	// change. The duration of the change itself depends on the amount of data and has no limit.
	openTimeout = time.Minute
	// writeTimeout bounds [DB.Write]: a caller gets the error that the database is unavailable before the caller's own timeout.
	writeTimeout = 10 * time.Second
	// closeTimeout bounds [DB.Close]. The driver itself waits 15 s for a server that does not answer.
	closeTimeout = 3 * time.Second
	// minVersion is the oldest usable PostgreSQL, in PostgreSQL's own numbering.
	minVersion = 14_00_00
)

// Options are the database to open and its schema.
type Options struct {
	// URL is the URL of the database, such as postgres://user:password@host:5432/database, with the parameters that the driver knows. Values
	// that it lacks are taken from libpq's environment variables and password file.
	URL string
	// Schema is the PostgreSQL schema that holds the service's tables. It is made if it is missing.
	Schema string
	// Migrations are the steps of the schema: step n makes version n out of version n-1. They name tables with their schema. Steps never
	// change after they are released.
	Migrations []Migration
	// Connections is the maximum number of connections of the process, if the URL does not set it with pool_max_conns. In addition, there is
	// one connection for [DB.Ping], and one for each [DB.Listen].
	Connections int
	// Log gets a line for each stuck session that is terminated. Nil means no log.
	Log *slog.Logger
}

// Migration is one step of a schema.
type Migration struct {
	// Script has SQL statements.
	Script string
	// Fill, if not nil, writes data that SQL can't compute from the existing rows. It runs after the script, in the same transaction. There
	// may be many rows, so it reads a few at a time.
	Fill func(ctx context.Context, tx pgx.Tx) error
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	pool *pgxpool.Pool
	// health has the connection of [DB.Ping], which waits for no other call.
	health *pgxpool.Pool
	name   string
	log    *slog.Logger
	// schema is the name of the service's schema, quoted.
	schema string
	// full is the error of the last write that failed for lack of space. It is nil after a probe has succeeded.
	full atomic.Pointer[error]
	// reads has a slot for each connection that reads may use, and longReads for each that [DB.Long] may use.
	reads, longReads *semaphore.Weighted
	// servers are the servers that the URL names.
	servers *servers
	// These have the values of the constants, except in tests.
	writeTimeout, closeTimeout, hangTimeout, recheckInterval time.Duration
}

// Open connects to the database, and brings the service's schema up to date.
//
// Several replicas can call it at the same time: the first one migrates, the others wait for it. Errors are [ErrUnusable] with a text for
// the operator who set the URL: the server can't be reached, it refuses the user, it has no such database, it is a read-only replica or too
// old, it is a pooler that is not in session mode, its schema is newer than this binary, or it does not meet the needs of durability. If
// ctx ends first, the error is ctx's.
func Open(ctx context.Context, options Options) (*DB, error) {
	return openWithin(ctx, options, openTimeout)
}

func openWithin(ctx context.Context, options Options, timeout time.Duration) (*DB, error) {
	config, err := parse(options)
	if err != nil {
		return nil, unusable("the URL %v", err)
	}
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	db := &DB{servers: &servers{}, name: nameOf(config), log: log, schema: pgx.Identifier{options.Schema}.Sanitize(),
		reads:        semaphore.NewWeighted(int64(max(1, config.MaxConns-reservedForWrites))),
		longReads:    semaphore.NewWeighted(int64(max(1, config.MaxConns-reservedForWrites-reservedForShortReads))),
		writeTimeout: writeTimeout, closeTimeout: closeTimeout, hangTimeout: hangTimeout, recheckInterval: recheckInterval}
	db.servers.track(config.ConnConfig)
	reread := config.BeforeConnect
	config.BeforeConnect = func(ctx context.Context, connection *pgx.ConnConfig) error {
		err := reread(ctx, connection)
		db.servers.sort(connection)
		return err
	}
	config.PrepareConn = db.prepareConn
	// The two calls do not connect yet.
	if db.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, unusable("PostgreSQL can't be used with this URL (%v): fix the URL", err)
	}
	healthConfig := config.Copy()
	healthConfig.MaxConns, healthConfig.MinConns, healthConfig.MinIdleConns = 1, 0, 0
	if db.health, err = pgxpool.NewWithConfig(ctx, healthConfig); err != nil {
		db.pool.Close()
		return nil, unusable("PostgreSQL can't be used with this URL (%v): fix the URL", err)
	}
	if err := db.checkAndMigrate(ctx, config, options, timeout); err != nil {
		db.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, db.explain(config, options.Schema, err)
	}
	return db, nil
}

// checkAndMigrate is the part of [Open] that uses connections.
func (db *DB) checkAndMigrate(ctx context.Context, config *pgxpool.Config, options Options, timeout time.Duration) error {
	checking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := db.checkPooler(checking, config); err != nil {
		return err
	}
	return db.migrate(ctx, options, timeout)
}

// Close closes all connections after those in use are free. It waits for that, and for the server, for at most 3 s.
func (db *DB) Close() {
	closed := make(chan struct{})
	go func() {
		db.health.Close()
		db.pool.Close()
		close(closed)
	}()
	timer := time.NewTimer(db.closeTimeout)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
	}
}

// Ping returns nil if the database answers and can be written to. Otherwise it returns [ErrReadOnly], [ErrUnavailable] or ctx's error. Only
// ctx bounds it. After a write failed for lack of space, Ping fails until there is space. It has its own connection, so it waits for no
// other call.
func (db *DB) Ping(ctx context.Context) error {
	var readOnly bool
	err := db.retryOnLostConn(func() error {
		return db.health.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::bool").Scan(&readOnly)
	})
	switch {
	case readOnly:
		// Another server may be the primary now.
		db.reset()
		return ErrReadOnly
	case errors.Is(err, errReadOnlyServer):
		return ErrReadOnly
	case err != nil:
		return ClassifyError(ctx, err)
	default:
		return ClassifyError(ctx, db.probeSpace(ctx))
	}
}
