package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// selectEvents is what [scanEvents] reads.
const selectEvents = "SELECT sequence, coalesce(event_id, ''), ticket_id, name, occur_time, receive_time, content FROM events"

// ListEvents implements [ticket.Store].
func (s *Store) ListEvents(ctx context.Context, ticketID string, after int64, limit int) (events []ticket.Event, more bool, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		var erased bool
		var content, stamps []byte
		err := tx.QueryRowContext(ctx, "SELECT erased, stamps, content FROM tickets WHERE ticket_id = ?", ticketID).
			Scan(&erased, &stamps, &content)
		if errors.Is(err, sql.ErrNoRows) {
			return ticket.ErrNotFound
		}
		if err != nil {
			return err
		}
		var record *ticket.Record
		if !erased {
			if record, err = ticketcodec.UnmarshalRecord(content, stamps); err != nil {
				return ticket.Unreadable(ticketID, err)
			}
		}
		rows, err := tx.QueryContext(ctx, selectEvents+" WHERE ticket_id = ? AND event_id IS NOT NULL AND sequence > ? ORDER BY sequence LIMIT ?",
			ticketID, after, limit+1)
		if err != nil {
			return err
		}
		if events, err = scanEvents(rows, erased); err != nil {
			return err
		}
		events, more = record.Page(events, limit)
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return events, more, nil
}

// scanEvents reads all rows of [selectEvents], and closes them. What can't be read of an erased ticket's events they have not.
func scanEvents(rows *sql.Rows, erased bool) (events []ticket.Event, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ticket.Event
		var occur, receive string
		var content sql.RawBytes
		if err := rows.Scan(&e.Sequence, &e.EventID, &e.TicketID, &e.Name, &occur, &receive, &content); err != nil {
			return nil, err
		}
		if err := ticketcodec.UnmarshalEvent(&e, occur, receive, content); err != nil && !erased {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}
