package fill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

// sqliteBatch is how many tickets a transaction writes.
const sqliteBatch = 1024

func fillSQLite(ctx context.Context, path string, n int) (err error) {
	// Nothing of it is to survive a crash, and the service makes it durable again when it opens the file.
	source := url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: "_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)" +
		"&_pragma=locking_mode(EXCLUSIVE)&_pragma=cache_size(-262144)"}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)

	var tickets int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM tickets LIMIT 1)").Scan(&tickets); err != nil {
		return err
	}
	if tickets > 0 {
		return ErrNotEmpty
	}
	indexes, err := dropSQLiteIndexes(ctx, db)
	if err != nil {
		return err
	}
	if err := insertSQLite(ctx, db, n); err != nil {
		return err
	}
	// Words of no rules: the service makes them when it opens the file.
	for _, statement := range append(indexes, "UPDATE words_version SET version = ''",
		"INSERT INTO ticket_counts (app_id, category_id, status, unassigned, tickets)"+
			" SELECT app_id, category_id, status, assigned_to = '', count(*) FROM tickets GROUP BY 1, 2, 3, 4") {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// dropSQLiteIndexes drops the indexes of tickets, but for those of its constraints, and returns the statements that make them again.
func dropSQLiteIndexes(ctx context.Context, db *sql.DB) (create []string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'tickets' AND sql IS NOT NULL")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var names []string
	for rows.Next() {
		var name, statement string
		if err := rows.Scan(&name, &statement); err != nil {
			return nil, err
		}
		names, create = append(names, name), append(create, statement)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := db.ExecContext(ctx, "DROP INDEX "+name); err != nil {
			return nil, err
		}
	}
	return create, nil
}

func insertSQLite(ctx context.Context, db *sql.DB, n int) error {
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",") + ")"
	insert, err := sqlitedb.PrepareRows(ctx, db, "INSERT OR ROLLBACK INTO tickets ("+strings.Join(columns, ",")+") VALUES ", row, "")
	if err != nil {
		return err
	}
	rows := make([]any, 0, sqliteBatch*len(columns))
	for first := 0; first < n; first += sqliteBatch {
		rows = rows[:0]
		for number := first; number < min(first+sqliteBatch, n); number++ {
			rows = append(rows, values(number)...)
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if _, err := insert.Exec(ctx, tx, nil, rows, len(columns)); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}
