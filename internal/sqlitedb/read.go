package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Read runs f with a connection that reads the database at path. Another process may have the database open. The error is f's own,
// [ErrUnusable] with a text for the operator who named the path, or an error of closing the database.
func Read(ctx context.Context, path string, f func(*sql.Conn) error) error {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return unusable("there is no database %s: name the file that the service has", path)
	}
	return withConn(ctx, ErrUnusable, path, f, "mode=ro", "_pragma=query_only(1)")
}

// withConn calls f with a new connection to the database at path. parameters are those of the URI. The error is f's own, an error of
// closing the database, or cantOpen, which is [ErrUnusable], [ErrBackup] or [ErrRestore].
func withConn(ctx context.Context, cantOpen error, path string, f func(*sql.Conn) error, parameters ...string) (err error) {
	db, err := sql.Open("sqlite", source(path, append(parameters, waitForLocks)...))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return newError(cantOpen, "%s can't be opened (%v): may this user read it, and write to its folder?", path, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return f(conn)
}

// checkIntegrity returns an error if a database is damaged.
func checkIntegrity(ctx context.Context, conn *sql.Conn) error {
	var found string
	err := conn.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found)
	if err == nil && found != "ok" {
		err = fmt.Errorf("integrity_check found: %s", strings.ReplaceAll(found, "\n", " "))
	}
	return err
}
