package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// readErasures uses the index that SQLite creates for the uniqueness of event ids. The index has the entries without an event id in the
// order of the log. So the statement reads no events.
const readErasures = "SELECT sequence, ticket_id, name, nonce FROM events INDEXED BY sqlite_autoindex_events_1" +
	" WHERE event_id IS NULL AND sequence >= ? ORDER BY sequence LIMIT ?"

// ListErasures implements [ticket.Store].
func (s *Store) ListErasures(ctx context.Context, after ticket.LogPosition, limit int) ([]ticket.Erasure, error) {
	var read []ticket.Erasure
	err := forEach(s.readErasures.QueryContext(ctx, after.Sequence, limit+1))(func(rows *sql.Rows) error {
		var e ticket.Event
		var nonce int64
		err := rows.Scan(&e.Sequence, &e.TicketID, &e.Name, &nonce)
		read = append(read, ticket.Erasure{TicketID: e.TicketID, Position: e.Position(nonce)})
		return err
	})
	if err != nil {
		return nil, mapError(ctx, err)
	}
	erasures, held := ticket.ErasuresAfter(after, limit, read)
	if !held {
		return nil, ticket.ErrPositionNotFound
	}
	return erasures, nil
}

// ExportErasures calls f with the id of each erased ticket in the file at path, in the order of their erasures. A service may have the file
// open. The error is f's, ctx's, or one of the file, as [sqlitedb.Read] returns it.
func ExportErasures(ctx context.Context, path string, f func(ticketID string) error) error {
	return sqlitedb.Read(ctx, path, func(conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, "SELECT ticket_id FROM events WHERE event_id IS NULL ORDER BY sequence")
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%w: %s can't be read (%w): is it ticketsvc's database?", sqlitedb.ErrUnusable, path, err)
		}
		return forEach(rows, err)(func(rows *sql.Rows) error {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			return f(id)
		})
	})
}
