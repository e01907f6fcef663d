package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// selectEvents selects the columns that [scanEvents] reads.
const selectEvents = "SELECT sequence, coalesce(event_id, ''), ticket_id, name, occur_time, receive_time, content FROM events"

// ListEvents implements [ticket.Store].
func (s *Store) ListEvents(ctx context.Context, ticketID string, after int64, limit ticket.PageLimit,
) (events []ticket.Event, more bool, err error) {
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
		var state *ticket.State
		if !erased {
			if state, err = ticketcodec.UnmarshalWithin(limit.Room, ticketID, content, stamps); err != nil {
				return err
			}
		}
		rows, err := tx.QueryContext(ctx, selectEvents+" WHERE ticket_id = ? AND event_id IS NOT NULL AND sequence > ? ORDER BY sequence LIMIT ?",
			ticketID, after, limit.Items+1)
		if err != nil {
			return err
		}
		events, more, err = scanEvents(rows, state, limit)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return events, more, nil
}

// scanEvents reads rows of [selectEvents] up to the end of a page, and closes the rows. record is the state of their ticket, nil if the
// ticket was erased. Events of an erased ticket are returned without the data that can't be decoded.
func scanEvents(rows *sql.Rows, state *ticket.State, limit ticket.PageLimit) (events []ticket.Event, more bool, err error) {
	page := ticket.NewPage(limit)
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e ticket.Event
		var occur, receive string
		var content sql.RawBytes
		if err := rows.Scan(&e.Sequence, &e.EventID, &e.TicketID, &e.Name, &occur, &receive, &content); err != nil {
			return nil, false, err
		}
		if added, err := page.Add(e.TicketID, ticketcodec.WeighEvent(content)); err != nil || !added {
			return events, true, err
		}
		if err := ticketcodec.CompleteEvent(&e, occur, receive, content); err != nil && state != nil {
			return nil, false, err
		}
		e.Outcome = state.OutcomeOf(&e)
		events = append(events, e)
	}
	return events, false, rows.Err()
}
