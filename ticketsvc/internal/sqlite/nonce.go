package sqlite

import (
	"context"
	"database/sql"
)

// addNonce adds the column of the events' nonces. A nonce is a random number, so a database that was restored from a backup and recorded
// the same events again has different nonces. Files that were created between two releases already have the column, and SQLite has no IF
// NOT EXISTS for columns.
func addNonce(ctx context.Context, tx *sql.Tx) error {
	var there bool
	err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM pragma_table_info('events') WHERE name = 'nonce')").Scan(&there)
	if err != nil || there {
		return err
	}
	_, err = tx.ExecContext(ctx, "ALTER TABLE events ADD COLUMN nonce INTEGER NOT NULL DEFAULT 0")
	return err
}
