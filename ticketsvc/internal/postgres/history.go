package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// listEvents reads a ticket's events. It leaves out the contents of the rows beyond the size of a page: see [errPageFull].
const listEvents = `SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, octet_length(content),
 CASE WHEN sum(octet_length(content)) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) - octet_length(content) <= $4 THEN content END
 FROM (SELECT sequence, coalesce(event_id, '') AS event_id, ticket_id, name, occur_time, receive_time, content FROM ticketsvc.events
  WHERE ticket_id = $1 AND event_id IS NOT NULL AND sequence > $2 ORDER BY sequence LIMIT $3) AS page ORDER BY sequence`

// ListEvents implements [ticket.Store].
func (s *Store) ListEvents(ctx context.Context, ticketID string, after int64, limit ticket.PageLimit,
) (events []ticket.Event, more bool, err error) {
	err = s.readLong(ctx, func(tx pgx.Tx) error {
		id := postgresdb.EscapeText(ticketID)
		var erased bool
		var content, stamps []byte
		err := tx.QueryRow(ctx, "SELECT erased, stamps, content FROM ticketsvc.tickets WHERE ticket_id = $1", id).Scan(&erased, &stamps, &content)
		if errors.Is(err, pgx.ErrNoRows) {
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
		rows, err := tx.Query(ctx, listEvents, id, after, limit.Items+1, limit.Bytes)
		if err != nil {
			return err
		}
		events, more, err = readEvents(rows, state, limit)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return events, more, nil
}

// readEvents reads rows of [listEvents] up to the end of a page. state is that of their ticket, nil if the ticket was erased. Events of an
// erased ticket are returned without the data that can't be decoded.
func readEvents(rows pgx.Rows, state *ticket.State, limit ticket.PageLimit) (events []ticket.Event, more bool, err error) {
	page := ticket.NewPage(limit)
	var sequence int64
	var size int
	var eventID, ticketID, name, occur, receive string
	var content pgtype.DriverBytes
	_, err = pgx.ForEachRow(rows, []any{&sequence, &eventID, &ticketID, &name, &occur, &receive, &size, &content}, func() error {
		added, err := page.Add(ticketID, ticket.Weight{Bytes: size, Elements: ticketcodec.WeighEvent(content).Elements})
		if err != nil {
			return err
		}
		if !added {
			return errPageFull
		}
		e := ticket.Event{Sequence: sequence, EventID: postgresdb.UnescapeText(eventID), TicketID: postgresdb.UnescapeText(ticketID),
			Name: ticket.EventName(name)}
		if err := ticketcodec.CompleteEvent(&e, occur, receive, content); err != nil && state != nil {
			return err
		}
		e.Outcome = state.OutcomeOf(&e)
		events = append(events, e)
		return nil
	})
	if errors.Is(err, errPageFull) {
		return events, true, nil
	}
	return events, false, err
}

const (
	// measureBefore returns the number of a ticket's events, and their size. The events of an erased ticket are not counted, because their
	// values are gone.
	measureBefore = `SELECT count(*), coalesce(sum(bytes), 0) FROM (
  SELECT octet_length(content) + octet_length(payload) AS bytes FROM ticketsvc.events
  WHERE ticket_id = $1 AND sequence < $2 AND NOT (SELECT erased FROM ticketsvc.tickets WHERE ticket_id = $1) ORDER BY sequence LIMIT $3
 ) AS events`
	// readBefore reads these events with their values.
	readBefore = `SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, full_snapshot, payload FROM ticketsvc.events
 WHERE ticket_id = $1 AND sequence < $2 ORDER BY sequence`
)

// TicketBefore implements [ticket.Log].
func (s *Store) TicketBefore(ctx context.Context, ticketID string, sequence int64, limit ticket.PageLimit) (ticket.Ticket, error) {
	var state *ticket.State
	err := s.readLong(ctx, func(tx pgx.Tx) error {
		id := postgresdb.EscapeText(ticketID)
		var events, bytes int
		err := tx.QueryRow(ctx, measureBefore, id, sequence, limit.Items+1).Scan(&events, &bytes)
		switch {
		case err != nil:
			return err
		case events == 0:
			return ticket.ErrNotFound
		case events > limit.Items, bytes > limit.Bytes:
			return ticket.ErrTooManyEvents
		}
		state = ticket.NewState(ticketID)
		rows, err := tx.Query(ctx, readBefore, id, sequence)
		if err != nil {
			return err
		}
		var row logRow
		var fullSnapshot bool
		var payload pgtype.DriverBytes
		_, err = pgx.ForEachRow(rows, append(row.columns(), &fullSnapshot, &payload), func() error {
			r := row.unescaped()
			change, err := ticketcodec.UnmarshalChange(&r, fullSnapshot, payload)
			if err == nil {
				state.Apply(&change)
			}
			return err
		})
		return err
	})
	if err != nil {
		return ticket.Ticket{}, err
	}
	return state.Ticket, nil
}
