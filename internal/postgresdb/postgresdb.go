// Package postgresdb opens the PostgreSQL database in which both services can keep their data, so that what they promise about
// durability holds on every connection, and so that no replica that hangs or dies holds up the others for long.
//
// Any number of processes share a database. Each service has a PostgreSQL schema of its own in it, which the first of its processes
// makes.
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
	// connectTimeout bounds one attempt to connect, where the URL does not say how long it may take.
	connectTimeout = 5 * time.Second
	// keepAlive is the time between two questions to a server that is silent, and keepAlives how many of them it may leave unanswered.
	keepAlive  = 5 * time.Second
	keepAlives = 3
	// silence is how long a server may leave unacknowledged what it was sent. Both are as the settings have them for the other end.
	silence = 20 * time.Second
	// openTimeout bounds each wait of [Open]: for the server, for another replica that changes the schema, and for what a change of the
	// schema has to lock. The change itself takes as long as there is data.
	openTimeout = time.Minute
	// writeTimeout bounds [DB.Write]: a caller is told that the database is away before it gives up by itself.
	writeTimeout = 10 * time.Second
	// closeTimeout bounds [DB.Close]. The driver itself takes leave of a server that does not answer for 15 s.
	closeTimeout = 3 * time.Second
	// minVersion is the oldest PostgreSQL that will do, as it numbers itself.
	minVersion = 14_00_00
)

// Options says which database to open, and what is in it.
type Options struct {
	// URL of the database, such as postgres://user:password@host:5432/database, with the parameters that the driver knows. What it does not
	// say is taken from libpq's environment variables and password file.
	URL string
	// Schema is the PostgreSQL schema that holds the service's tables. It is made when it is missing.
	Schema string
	// Migrations are the steps of the schema: step n makes version n out of version n-1. They name tables with their schema. Steps are never
	// changed once they are released.
	Migrations []Migration
	// Connections is how many connections the process has at most, where the URL does not say so with pool_max_conns: beside these it has one
	// for [DB.Ping], and one for each [DB.Listen].
	Connections int
	// Log gets a line for each stuck session that is terminated. Nil means no log.
	Log *slog.Logger
}

// Migration is one step of a schema.
type Migration struct {
	// Script is statements of SQL.
	Script string
	// Fill, if any, writes what SQL can't work out from the rows that are there. It runs behind the script, in the same transaction, however
	// many rows there are, so it reads them a few at a time.
	Fill func(ctx context.Context, tx pgx.Tx) error
}

// DB is an open database. Its methods can be called at the same time.
type DB struct {
	pool *pgxpool.Pool
	// health has the connection of [DB.Ping], which waits for no other call.
	health *pgxpool.Pool
	name   string
	log    *slog.Logger
	// schema is the service's, quoted.
	schema string
	// full is the last write that failed for lack of space, nil once a probe has succeeded.
	full atomic.Pointer[failure]
	// reads lets in as many reads as there are connections for them, and longReads as many as may be [DB.Long].
	reads, longReads *semaphore.Weighted
	// servers are those that the URL names.
	servers *servers
	// These are the constants, but for tests.
	writeTimeout, closeTimeout, hangTimeout, recheckInterval time.Duration
}

// IsURL tells whether a database URL is meant for this package.
func IsURL(databaseURL string) bool {
	return strings.HasPrefix(databaseURL, "postgres://") || strings.HasPrefix(databaseURL, "postgresql://")
}

// Name returns a name of the database for people and logs, without user and password. The error says that the URL can't be one of
// PostgreSQL; it does not repeat the URL, which can hold a password.
func Name(databaseURL string) (string, error) {
	config, err := parse(Options{URL: databaseURL})
	if err != nil {
		return "", err
	}
	return nameOf(config), nil
}

// Open connects to the database, and brings the service's schema up to date.
//
// Several replicas can do so at once: the first one migrates, the others wait for it. Errors are [ErrUnusable] with a text for whoever
// set the URL: the server can't be reached, it refuses the user, it has no such database, it is a read-only replica or too old, it is a
// pooler that is not in session mode, its schema is newer than this binary, or it does not do what durability needs. When ctx ends first
// the error is ctx's.
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
		reads:        semaphore.NewWeighted(int64(max(1, config.MaxConns-notForReads))),
		longReads:    semaphore.NewWeighted(int64(max(1, config.MaxConns-notForReads-notForLongReads))),
		writeTimeout: writeTimeout, closeTimeout: closeTimeout, hangTimeout: hangTimeout, recheckInterval: recheckInterval}
	db.servers.watch(config.ConnConfig)
	reread := config.BeforeConnect
	config.BeforeConnect = func(ctx context.Context, connection *pgx.ConnConfig) error {
		db.servers.sort(connection)
		return reread(ctx, connection)
	}
	config.PrepareConn = db.prepareConn
	// Neither connects yet.
	if db.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, unusable("PostgreSQL can't be used as the URL says (%v): mend the URL", err)
	}
	healthConfig := config.Copy()
	healthConfig.MaxConns, healthConfig.MinConns, healthConfig.MinIdleConns = 1, 0, 0
	if db.health, err = pgxpool.NewWithConfig(ctx, healthConfig); err != nil {
		db.pool.Close()
		return nil, unusable("PostgreSQL can't be used as the URL says (%v): mend the URL", err)
	}
	if err := db.prepare(ctx, config, options, timeout); err != nil {
		db.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, db.explain(config, options.Schema, err)
	}
	return db, nil
}

// prepare is what [Open] does once it knows how to connect.
func (db *DB) prepare(ctx context.Context, config *pgxpool.Config, options Options, timeout time.Duration) error {
	checking, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := db.checkPooler(checking, config); err != nil {
		return err
	}
	return db.migrate(ctx, options, timeout)
}

// parse makes a pool's configuration of the options.
func parse(options Options) (*pgxpool.Config, error) {
	// pgx takes "key=value" texts too; a URL is what our settings promise.
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
	// The driver's own asks a silent server only every five minutes whether it is still there.
	connection.DialFunc = (&net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: keepAlives},
		Control:         setTCPUserTimeout,
	}).DialContext
	config.BeforeConnect = rereadSecrets(options.URL, parameters)
	connection.OnNotice = noteUnconfirmed
	wanted := connection.ValidateConnect
	connection.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		// First, because the driver may take a connection that is not the wanted one for want of a better one.
		if err := setUp(ctx, conn); err != nil || wanted == nil {
			return err
		}
		return wanted(ctx, conn)
	}
	return config, nil
}

// nameOf is as [Name].
func nameOf(config *pgxpool.Config) string {
	c := config.ConnConfig
	hosts := []string{hostOf(c.Host, c.Port)}
	for _, other := range c.Fallbacks {
		// Each host is there twice when it is tried with and without TLS.
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

// Close closes all connections, once those in use are free. It waits for that, and for the server, for 3 s at most.
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

// Ping returns nil when the database answers and can be written to; otherwise [ErrReadOnly], [ErrUnavailable] or ctx's error. ctx alone
// bounds it. After a write failed for lack of space, it fails until there is space. It has a connection of its own, so it waits for no
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

// Write runs f, which changes something in one transaction, and retries it when another writer was in the way. When a lock could not be
// had, the retry terminates the sessions of stuck processes that block it.
//
// f sends "begin" with its first batch and "commit" with its last, so that a transaction takes as few trips to the server as it has
// steps. It starts from the beginning each time, and what it does must do no harm when it is done twice: the answer to a commit can be
// lost with the connection, and then f is run once more. It returns each error that it gets: PostgreSQL takes a "commit" behind one, and
// rolls back. Where it may find nothing to write it commits by [QueueCommit].
//
// All of it takes 10 s at most. The error is f's own, or one of the database as [Translate] gives it. It is nil only after the
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
			// The server hangs, or has gone away or come back since the connection was last used, and all others are as old.
			reconnected = true
			db.reset()
		case codeOf(err) == lockNotAvailable && bounded.Err() == nil && !blocked:
			blocked = true
		default:
			if codeOf(err) == diskFull {
				db.full.Store(&failure{})
			}
			return Translate(ctx, err)
		}
	}
}

// maxConflicts is how often another writer may be in the way. Each time that one had its way, so of n writers the last one to get
// through was stopped n-1 times.
const maxConflicts = 50

// writeOnce runs f once. blocked says that it could not have a lock before.
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
		defer db.terminatingStuck(ctx, session.pid)()
	}
	session.unconfirmed = false
	err = f(ctx, conn.Conn())
	if err == nil && session.unconfirmed {
		return errUnconfirmed
	}
	if conn.Conn().PgConn().TxStatus() == 'I' {
		return err
	}
	// The end of ctx is no reason to leave the transaction open: the pool would close the connection.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, rollbackErr := conn.Exec(ending, "rollback"); err == nil {
		// Nothing was committed, and f said nothing of it.
		err = errors.Join(errors.New("postgresdb: the transaction was left open"), rollbackErr)
	}
	return err
}

// retryOnLostConn runs f, and retries it once with a new connection when the one that it had was lost since it was last used.
func (db *DB) retryOnLostConn(f func() error) error {
	err := f()
	if isLostConnection(err) {
		db.reset()
		err = f()
	}
	return err
}

// reset has each connection replaced before it is used again.
func (db *DB) reset() {
	db.pool.Reset()
	db.health.Reset()
}
