package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// listEvents reads the events of a ticket after a sequence number.
const listEvents = "SELECT sequence, coalesce(event_id, ''), ticket_id, name, occur_time, receive_time, content FROM events" +
	" WHERE ticket_id = ? AND event_id IS NOT NULL AND sequence > ? ORDER BY sequence LIMIT ?"

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
			if state, err = ticketcodec.UnmarshalWithin(limit.Budget, ticketID, content, stamps); err != nil {
				return err
			}
		}
		page := ticket.NewPage(limit)
		return forEach(tx.QueryContext(ctx, listEvents, ticketID, after, limit.Items+1))(func(rows *sql.Rows) error {
			var e ticket.Event
			var occur, receive string
			var content sql.RawBytes
			if err := rows.Scan(&e.Sequence, &e.EventID, &e.TicketID, &e.Name, &occur, &receive, &content); err != nil {
				return err
			}
			added, err := page.Add(e.TicketID, ticketcodec.WeighEvent(content))
			if err != nil {
				return err
			}
			if more = !added; more {
				return errEnough
			}
			// The data of an erased ticket's event that can't be decoded is left out.
			if err := ticketcodec.CompleteEvent(&e, occur, receive, content); err != nil && state != nil {
				return err
			}
			e.Outcome = state.OutcomeOf(&e)
			events = append(events, e)
			return nil
		})
	})
	if err != nil {
		return nil, false, err
	}
	return events, more, nil
}

const (
	// The values of an erased ticket's events are gone, so the ticket before such an event can't be computed.
	selectBefore = " FROM events WHERE ticket_id = ?1 AND sequence < ?2 AND NOT (SELECT erased FROM tickets WHERE ticket_id = ?1)" +
		" ORDER BY sequence"
	measureBefore = "SELECT count(*), coalesce(sum(bytes), 0) FROM (SELECT length(content) + length(payload) AS bytes" + selectBefore +
		" LIMIT ?3)"
	readBefore = "SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, full_snapshot, payload" + selectBefore
)

// TicketBefore implements [ticket.Log].
func (s *Store) TicketBefore(ctx context.Context, ticketID string, sequence int64, limit ticket.PageLimit) (ticket.Ticket, error) {
	var events, bytes int
	err := s.measureBefore.QueryRowContext(ctx, ticketID, sequence, limit.Items+1).Scan(&events, &bytes)
	switch {
	case err != nil:
		return ticket.Ticket{}, mapError(ctx, err)
	case events > limit.Items, bytes > limit.Bytes:
		return ticket.Ticket{}, ticket.ErrTooManyEvents
	}
	state, read := ticket.NewState(ticketID), 0
	err = forEach(s.readBefore.QueryContext(ctx, ticketID, sequence))(func(rows *sql.Rows) error {
		read++
		var row ticketcodec.LogRow
		var content, payload sql.RawBytes
		var fullSnapshot bool
		e := &row.Event
		if err := rows.Scan(&e.Sequence, &e.EventID, &e.TicketID, &e.Name, &row.OccurTime, &row.ReceiveTime, &content, &fullSnapshot,
			&payload); err != nil {
			return err
		}
		row.Content = content
		change, err := ticketcodec.UnmarshalChange(&row, fullSnapshot, payload)
		if err == nil {
			state.Apply(&change)
		}
		return err
	})
	switch {
	case err != nil:
		return ticket.Ticket{}, mapError(ctx, err)
	case read == 0: // There was no ticket, or it was erased just now.
		return ticket.Ticket{}, ticket.ErrNotFound
	}
	return state.Ticket, nil
}
