package sqlitedb

import (
	"context"
	"database/sql"
	"fmt"
)

// Migration is one step of a schema.
type Migration struct {
	// Script has SQL statements.
	Script string
	// Fill, if not nil, writes data that SQL can't compute from the existing rows. It runs after the script, in the same transaction. There
	// may be many rows, so it reads a few at a time.
	Fill func(ctx context.Context, tx *sql.Tx) error
}

// migrate brings the schema up to date, and marks the file as in use.
func migrate(ctx context.Context, db *sql.DB, options Options) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return unusable("%s can't be written (%v): make it and its folder writable, or name another path", options.Path, err)
	}
	defer func() { _ = tx.Rollback() }()
	var version, applicationID, tables int
	if err := tx.QueryRowContext(ctx, "SELECT (SELECT user_version FROM pragma_user_version),"+
		" (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)").
		Scan(&version, &applicationID, &tables); err != nil {
		return unusable("%s can't be read (%v): is it an SQLite database?", options.Path, err)
	}
	switch {
	case tables > 0 && applicationID != int(options.ApplicationID):
		return unusable("%s belongs to another application: name another path", options.Path)
	case version > len(options.Migrations):
		return unusable("%s has schema %d, newer than the %d that this binary knows: run a newer binary, or name another path",
			options.Path, version, len(options.Migrations))
	}
	if err := markInUse(ctx, tx, options.Path); err != nil {
		return err
	}
	for step, migration := range options.Migrations[version:] {
		_, err := tx.ExecContext(ctx, migration.Script)
		if err == nil && migration.Fill != nil {
			err = migration.Fill(ctx, tx)
		}
		if err != nil {
			return unusable("%s can't be brought from schema %d to %d (%v)", options.Path, version+step, version+step+1, err)
		}
	}
	if version < len(options.Migrations) {
		// A PRAGMA takes no arguments. Both values are our own numbers.
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d",
			len(options.Migrations), options.ApplicationID)); err != nil {
			return unusable("%s can't be marked as schema %d (%v)", options.Path, len(options.Migrations), err)
		}
	}
	if err := tx.Commit(); err != nil {
		return unusable("%s can't be written (%v): is the disk full?", options.Path, err)
	}
	return nil
}
