package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// readErasures goes by the index that SQLite makes for the uniqueness of event ids, which has those without one in the order of the log. It
// reads nothing of any event.
const readErasures = "SELECT sequence, ticket_id, name, nonce FROM events INDEXED BY sqlite_autoindex_events_1" +
	" WHERE event_id IS NULL AND sequence >= ? ORDER BY sequence LIMIT ?"

// makeErasureKey gives the database its [ticket.ErasureKey].
func makeErasureKey(ctx context.Context, tx *sql.Tx) error {
	var key ticket.ErasureKey
	_, _ = rand.Read(key[:]) // It never fails.
	_, err := tx.ExecContext(ctx, "UPDATE identity SET erasure_key = ?", key[:])
	return err
}

// ErasureKey implements [ticket.Store].
func (s *Store) ErasureKey() ticket.ErasureKey { return s.erasureKey }

// Erasures implements [ticket.Store].
func (s *Store) Erasures(ctx context.Context, after ticket.Mark, limit int) (erasures []ticket.Erasure, err error) {
	rows, err := s.readErasures.QueryContext(ctx, after.Sequence, limit+1)
	if err != nil {
		return nil, translate(ctx, err)
	}
	read, err := scanErasures(rows)
	if err != nil {
		return nil, translate(ctx, err)
	}
	erasures, held := ticket.ErasuresAfter(after, limit, read)
	if !held {
		return nil, ticket.ErrNotFound
	}
	return erasures, nil
}

// scanErasures reads all rows of [readErasures], and closes them.
func scanErasures(rows *sql.Rows) (erasures []ticket.Erasure, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ticket.Event
		var nonce int64
		if err := rows.Scan(&e.Sequence, &e.TicketID, &e.Name, &nonce); err != nil {
			return nil, err
		}
		erasures = append(erasures, ticket.Erasure{TicketID: e.TicketID, Mark: e.Mark(nonce)})
	}
	return erasures, rows.Err()
}
