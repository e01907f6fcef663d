package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"os"
)

// Read runs f with a connection that reads the database at path. Another process may have the database open. The error is f's own, or
// [ErrUnusable] with a text for the operator who named the path.
func Read(ctx context.Context, path string, f func(*sql.Conn) error) (err error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return unusable("there is no database %s: name the file that the service has", path)
	}
	db, err := sql.Open("sqlite", source(path, "mode=ro", "_pragma=busy_timeout(5000)", "_pragma=query_only(1)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return unusable("%s can't be opened (%v): may this user read it, and write to its folder?", path, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return f(conn)
}
