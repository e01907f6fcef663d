package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// readErasures uses the index that SQLite creates for the uniqueness of event ids. The index has the entries without an event id in the
// order of the log. So the statement reads no events.
const readErasures = "SELECT sequence, ticket_id, name, nonce FROM events INDEXED BY sqlite_autoindex_events_1" +
	" WHERE event_id IS NULL AND sequence >= ? ORDER BY sequence LIMIT ?"

// makeErasureKey gives the database its [ticket.ErasureKey].
func makeErasureKey(ctx context.Context, tx *sql.Tx) error {
	key := ticket.NewErasureKey()
	_, err := tx.ExecContext(ctx, "UPDATE identity SET erasure_key = ?", key[:])
	return err
}

// ErasureKey implements [ticket.Store].
func (s *Store) ErasureKey() ticket.ErasureKey { return s.erasureKey }

// ListErasures implements [ticket.Store].
func (s *Store) ListErasures(ctx context.Context, after ticket.LogPosition, limit int) (erasures []ticket.Erasure, err error) {
	rows, err := s.readErasures.QueryContext(ctx, after.Sequence, limit+1)
	if err != nil {
		return nil, mapError(ctx, err)
	}
	read, err := scanErasures(rows)
	if err != nil {
		return nil, mapError(ctx, err)
	}
	erasures, held := ticket.ErasuresAfter(after, limit, read)
	if !held {
		return nil, ticket.ErrPositionNotFound
	}
	return erasures, nil
}

// scanErasures reads all rows of [readErasures], and closes the rows.
func scanErasures(rows *sql.Rows) (erasures []ticket.Erasure, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ticket.Event
		var nonce int64
		if err := rows.Scan(&e.Sequence, &e.TicketID, &e.Name, &nonce); err != nil {
			return nil, err
		}
		erasures = append(erasures, ticket.Erasure{TicketID: e.TicketID, Position: e.Position(nonce)})
	}
	return erasures, rows.Err()
}

// ExportErasures calls f with the id of each erased ticket in the file at path, in the order of their erasures. A service may have the file
// open. The error is f's, ctx's, or one of the file, as [sqlitedb.Read] returns it.
func ExportErasures(ctx context.Context, path string, f func(ticketID string) error) error {
	return sqlitedb.Read(ctx, path, func(conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, "SELECT ticket_id FROM events WHERE event_id IS NULL ORDER BY sequence")
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%w: %s can't be read (%w): is it ticketsvc's database?", sqlitedb.ErrUnusable, path, err)
		}
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			if err := f(id); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}
