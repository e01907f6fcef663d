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
		var record *ticket.State
		if !erased {
			// A ticket of the maximum size is allowed together with versions of any size, so each asks for memory separately.
			for _, weight := range []ticket.Weight{ticketcodec.WeighTicket(content), {Bytes: len(stamps)}} {
				if err := limit.Room.For(ticketID, weight); err != nil {
					return err
				}
			}
			if record, err = ticketcodec.UnmarshalState(content, stamps); err != nil {
				return ticket.DecodeError(ticketID, err)
			}
		}
		rows, err := tx.QueryContext(ctx, selectEvents+" WHERE ticket_id = ? AND event_id IS NOT NULL AND sequence > ? ORDER BY sequence LIMIT ?",
			ticketID, after, limit.Items+1)
		if err != nil {
			return err
		}
		events, more, err = scanEvents(rows, record, limit)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return events, more, nil
}

// scanEvents reads rows of [selectEvents] up to the end of a page, and closes the rows. record is the state of their ticket, nil if the
// ticket was erased. Events of an erased ticket are returned without the data that can't be decoded.
func scanEvents(rows *sql.Rows, record *ticket.State, limit ticket.PageLimit) (events []ticket.Event, more bool, err error) {
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
		if err := ticketcodec.CompleteEvent(&e, occur, receive, content); err != nil && record != nil {
			return nil, false, err
		}
		e.Outcome = record.OutcomeOf(&e)
		events = append(events, e)
	}
	return events, false, rows.Err()
}
