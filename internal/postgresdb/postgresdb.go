// Package postgresdb opens the PostgreSQL database in which both services can keep their data. It makes sure that the promised durability
// holds on every connection, and that a replica that hangs or dies does not block the others for long.
//
// Any number of processes share a database. Each service has its own PostgreSQL schema in it, which the service's first process makes.
package postgresdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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
	// userTimeout is how long a server may leave sent data unacknowledged. userTimeout and the keep-alives have the values that
	// [sessionSettings] has for the server's end.
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

// IsURL reports whether a database URL is meant for this package.
func IsURL(databaseURL string) bool {
	return strings.HasPrefix(databaseURL, "postgres://") || strings.HasPrefix(databaseURL, "postgresql://")
}

// Name returns a name of the database for people and logs, without user and password. It returns an error if the URL can't be one of
// PostgreSQL. The error does not repeat the URL, which can hold a password.
func Name(databaseURL string) (string, error) {
	config, err := parse(Options{URL: databaseURL})
	if err != nil {
		return "", err
	}
	return nameOf(config), nil
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
		db.servers.sort(connection)
		return reread(ctx, connection)
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

// parse returns a pool's configuration for the options.
func parse(options Options) (*pgxpool.Config, error) {
	// pgx accepts "key=value" strings too. Our settings promise a URL.
	if !IsURL(options.URL) || isAmbiguous(options.URL) {
		return nil, errBadURL
	}
	config, err := pgxpool.ParseConfig(options.URL)
	if err != nil {
		return nil, explainURL(options.URL, err)
	}
	parameters, err := pgx.ParseConfig(options.URL)
	if err != nil {
		return nil, errBadURL
	}
	if _, ok := parameters.RuntimeParams["pool_max_conns"]; !ok {
		config.MaxConns = int32(max(2, options.Connections))
	}
	connection := config.ConnConfig
	if connection.ConnectTimeout == 0 {
		connection.ConnectTimeout = connectTimeout
	}
	if connection.RuntimeParams["application_name"] == "" && options.Schema != "" {
		connection.RuntimeParams["application_name"] = options.Schema
	}
	// The driver's own dialer probes a silent server only every five minutes.
	connection.DialFunc = (&net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: keepAlives},
		Control:         setTCPUserTimeout,
	}).DialContext
	config.BeforeConnect = rereadSecrets(options.URL, parameters)
	connection.OnNotice = recordUnconfirmed
	wanted := connection.ValidateConnect
	connection.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		// setUp comes first, because the driver may use a connection that is not the wanted one if there is no better one.
		if err := setUp(ctx, conn); err != nil || wanted == nil {
			return err
		}
		return wanted(ctx, conn)
	}
	return config, nil
}

// nameOf is like [Name].
func nameOf(config *pgxpool.Config) string {
	c := config.ConnConfig
	hosts := []string{hostOf(c.Host, c.Port)}
	for _, other := range c.Fallbacks {
		// Each host is in the list twice if it is tried with and without TLS.
		if host := hostOf(other.Host, other.Port); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return fmt.Sprintf("postgres://%s/%s", strings.Join(hosts, ","), c.Database)
}

func hostOf(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
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
		return Translate(ctx, err)
	default:
		return Translate(ctx, db.probeSpace(ctx))
	}
}

// Write runs f, which changes something in one transaction, and retries it after a conflict with another writer. After a lock timeout, the
// retry terminates the sessions of stuck processes that block it.
//
// f sends "begin" with its first batch and "commit" with its last, so that a transaction takes as few round trips to the server as it has
// steps. f starts from the beginning each time, and must do no harm if it is done twice: the answer to a commit can be lost with the
// connection, and then f is retried. It returns each error that it gets: after an error PostgreSQL accepts a "commit", but rolls
// back. If f may find nothing to write, it commits by [QueueCommit].
//
// All of it takes at most 10 s. The error is f's own, or one of the database as [Translate] returns it. It is nil only after the
// synchronous standbys, if there are any, have confirmed the commit.
func (db *DB) Write(ctx context.Context, f func(ctx context.Context, conn *pgx.Conn) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, db.writeTimeout)
	defer cancel()
	reconnected, blocked := false, false
	for conflicts := 0; ; {
		err := db.writeOnce(bounded, blocked, f)
		switch {
		case err == nil:
			return nil
		case isConflict(err) && conflicts < maxConflicts:
			conflicts++
		case isLostConnection(err) && bounded.Err() == nil && !reconnected:
			// The server hangs, or it went away or came back after the last use of the connection. The other connections are as old.
			reconnected = true
			db.reset()
		case codeOf(err) == lockNotAvailable && bounded.Err() == nil && !blocked:
			blocked = true
		default:
			if codeOf(err) == diskFull {
				full := err
				db.full.Store(&full)
			}
			return Translate(ctx, err)
		}
	}
}

// maxConflicts is the maximum number of conflicts with other writers. After each conflict one writer succeeds, so of n writers the last one
// to succeed had n-1 conflicts.
const maxConflicts = 50

// writeOnce runs f once. blocked is set if it had a lock timeout before.
func (db *DB) writeOnce(ctx context.Context, blocked bool, f func(ctx context.Context, conn *pgx.Conn) error) (err error) {
	ctx, hang := db.watchForHang(ctx)
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errHung) {
			err = errHung
		}
		hang.stop()
	}()
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	session := sessionOf(conn.Conn())
	hang.server.Store(&session.server)
	if blocked {
		defer db.keepTerminatingStuckSessions(ctx, session.pid)()
	}
	session.unconfirmed = false
	err = f(ctx, conn.Conn())
	if err == nil && session.unconfirmed {
		return errUnconfirmed
	}
	if conn.Conn().PgConn().TxStatus() == 'I' {
		return err
	}
	// The transaction must be rolled back even if ctx has ended: otherwise the pool would close the connection.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, rollbackErr := conn.Exec(ending, "rollback"); err == nil {
		// Nothing was committed, and f returned no error.
		err = errors.Join(errors.New("postgresdb: the transaction was left open"), rollbackErr)
	}
	return err
}

// retryOnLostConn runs f. If the connection was lost since it was last used, it retries f once with a new connection.
func (db *DB) retryOnLostConn(f func() error) error {
	err := f()
	if isLostConnection(err) {
		db.reset()
		err = f()
	}
	return err
}

// reset makes the pools replace each connection before it is used again.
func (db *DB) reset() {
	db.pool.Reset()
	db.health.Reset()
}
