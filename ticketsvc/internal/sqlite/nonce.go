package sqlite

import (
	"context"
	"database/sql"
)

// addNonce gives each event a random number: a database that was restored from a backup, and has recorded the same events again, has other
// ones. Files that were made between two releases have it, and SQLite can't say "if it does not exist".
func addNonce(ctx context.Context, tx *sql.Tx) error {
	var there bool
	err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pragma_table_info('events') WHERE name = 'nonce')").Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = tx.ExecContext(ctx, "ALTER TABLE events ADD COLUMN nonce INTEGER NOT NULL DEFAULT 0")
	return err
}
