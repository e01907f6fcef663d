package sqlitedb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"modernc.org/sqlite"
)

// source returns the URI by which SQLite opens the file with these parameters.
func source(path string, parameters ...string) string {
	uri := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: strings.Join(parameters, "&")}
	return uri.String()
}

func (db *DB) openPool(path string, options ...string) *sql.DB {
	uri := source(path, append([]string{
		// A file that was removed is not created anew.
		"mode=rw",
		waitForLocks,
		"_pragma=journal_mode(WAL)",
		"_pragma=synchronous(FULL)",
		"_pragma=foreign_keys(1)",
		"_pragma=trusted_schema(0)",
		// Statement journals are in memory: a multi-row INSERT keeps one, and the journal needs no more durability than the statement.
		"_pragma=temp_store(2)",
		// A checkpoint writes each page once, however often it changed since the last checkpoint. There are about 64 MB of log between two.
		"_pragma=wal_autocheckpoint(16000)",
		"_pragma=journal_size_limit(67108864)",
	}, options...)...)
	d := &sqlite.Driver{}
	d.RegisterConnectionHook(checkDurability)
	d.RegisterConnectionHook(keepWAL)
	return sql.OpenDB(connector{db: db, driver: d, source: uri})
}

// openReaders returns connections that can't write, each with a cache of cacheKiB KiB.
func (db *DB) openReaders(path string, connections, cacheKiB int) *sql.DB {
	pool := db.openPool(path, "_pragma=query_only(1)", fmt.Sprintf("_pragma=cache_size(-%d)", cacheKiB))
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return pool
}

// connector opens connections to one data source, and checks each for the needs of durability.
type connector struct {
	db     *DB
	driver *sqlite.Driver
	source string
}

// Connect implements driver.Connector. It refuses a file that is not the one that the other connections have open.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	// SQLite itself would remove the -wal file beside an empty file.
	if err := c.db.checkFiles(); err != nil {
		return nil, err
	}
	conn, err := c.driver.Open(c.source)
	if err != nil {
		return nil, err
	}
	if err := c.db.checkFiles(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return c.driver }

// checkDurability refuses a connection on which a commit would not be on disk. The settings belong to one connection, so they are read back
// on each.
func checkDurability(conn sqlite.ExecQuerierContext, _ string) error {
	for pragma, want := range map[string]any{"journal_mode": "wal", "synchronous": int64(2)} {
		got, err := queryValue(conn, "PRAGMA "+pragma)
		if err != nil {
			return fmt.Errorf("reading %s: %w", pragma, err)
		}
		if got != want {
			return fmt.Errorf("%s is %v, want %v", pragma, got, want)
		}
	}
	return nil
}

// keepWAL makes SQLite keep the -wal file when the last connection closes: [DB.markUnused] decides whether it may be removed.
func keepWAL(conn sqlite.ExecQuerierContext, _ string) error { return setKeepWAL(conn, 1) }

func setKeepWAL(conn any, mode int) error {
	_, err := conn.(sqlite.FileControl).FileControlPersistWAL("main", mode)
	return err
}

func queryValue(conn sqlite.ExecQuerierContext, query string) (any, error) {
	rows, err := conn.QueryContext(context.Background(), query, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	values := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(values); err != nil {
		return nil, err
	}
	return values[0], nil
}
