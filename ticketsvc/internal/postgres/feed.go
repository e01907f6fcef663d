package postgres

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	// channel is where ticketsvcs tell each other that the log has grown.
	channel = "ticketbridge_events"

	selectMark = "SELECT sequence, coalesce(event_id, ''), ticket_id, name FROM ticketsvc.events"
	lastMark   = selectMark + " ORDER BY sequence DESC LIMIT 1"
	markAt     = selectMark + " WHERE sequence = $1"

	// readLog reads entries, each with its ticket where that comes for the first time. One statement sees one moment. The server sends all
	// that it is asked for, read or not, so it leaves out what comes after more than a page can hold.
	readLog = `WITH page AS (
  SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content,
   row_number() OVER (PARTITION BY ticket_id ORDER BY sequence) = 1 AS first
  FROM (SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content FROM ticketsvc.events WHERE sequence > $1
   ORDER BY sequence LIMIT $2) AS events
 ), sized AS (
  SELECT p.sequence, p.event_id, p.ticket_id, p.name, p.occur_time, p.receive_time, p.content, p.first, t.erased, t.content AS ticket,
   t.stamps, octet_length(t.content) + octet_length(t.stamps) AS bytes
  FROM page p LEFT JOIN ticketsvc.tickets t ON t.ticket_id = p.ticket_id
 ), measured AS (
  SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, first, erased, ticket, stamps, bytes,
   sum(octet_length(content) + CASE WHEN first THEN bytes ELSE 0 END) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS total
  FROM sized
 )
 SELECT sequence, coalesce(event_id, ''), ticket_id, name, occur_time, receive_time, content, coalesce(erased, false), coalesce(bytes, 0),
  CASE WHEN first THEN ticket END, CASE WHEN first THEN stamps END
 FROM measured WHERE total <= $3 OR sequence = $1 + 1 ORDER BY sequence`

	// readBefore reads what a ticket's events said. Erasing leaves nothing that could be folded.
	readBefore = `SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, full_snapshot, payload FROM ticketsvc.events
 WHERE ticket_id = $1 AND sequence < $2 AND NOT (SELECT erased FROM ticketsvc.tickets WHERE ticket_id = $1) ORDER BY sequence LIMIT $3`

	// walkStride is how many tickets a part of a walk looks at: some milliseconds' worth.
	walkStride = 2000
	walkBound  = "SELECT ticket_id FROM ticketsvc.tickets WHERE ticket_id > $1 ORDER BY ticket_id LIMIT 1 OFFSET $2"
)

// DatabaseID implements [ticket.Log].
func (s *Store) DatabaseID() ticket.DatabaseID { return s.databaseID }

func (s *Store) readDatabaseID(ctx context.Context) error {
	return s.query(ctx, func(q postgresdb.Querier) error {
		var id pgtype.UUID
		err := q.QueryRow(ctx, "SELECT database_id FROM ticketsvc.identity").Scan(&id)
		s.databaseID = id.Bytes
		return err
	})
}

// LastMark implements [ticket.Log].
func (s *Store) LastMark(ctx context.Context) (ticket.Mark, error) {
	mark, err := s.mark(ctx, lastMark)
	if errors.Is(err, ticket.ErrNotFound) {
		return ticket.Mark{}, nil
	}
	return mark, err
}

// MarkAt implements [ticket.Log].
func (s *Store) MarkAt(ctx context.Context, sequence int64) (ticket.Mark, error) {
	if sequence == 0 {
		return ticket.Mark{}, translate(ctx.Err())
	}
	return s.mark(ctx, markAt, sequence)
}

func (s *Store) mark(ctx context.Context, query string, arguments ...any) (mark ticket.Mark, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		var e ticket.Event
		var name string
		if err := q.QueryRow(ctx, query, arguments...).Scan(&e.Sequence, &e.EventID, &e.TicketID, &name); err != nil {
			return err
		}
		e.EventID, e.TicketID, e.Name = postgresdb.UnescapeText(e.EventID), postgresdb.UnescapeText(e.TicketID), ticket.EventName(name)
		mark = e.Mark()
		return nil
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return ticket.Mark{}, ticket.ErrNotFound
	}
	return mark, err
}

// ReadLog implements [ticket.Log].
func (s *Store) ReadLog(ctx context.Context, after int64, limit ticket.PageLimit) (entries []ticket.Entry, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		rows, err := q.Query(ctx, readLog, after, limit.Items, limit.Bytes)
		if err != nil {
			return err
		}
		page := ticketcodec.NewLogPage(limit)
		var row logRow
		var erased bool
		var bytes int
		var t, stamps pgtype.DriverBytes
		_, err = pgx.ForEachRow(rows, append(row.columns(), &erased, &bytes, &t, &stamps), func() error {
			r := row.unescaped()
			r.Erased, r.TicketBytes, r.Ticket, r.Stamps = erased, bytes, t, stamps
			page.Add(&r)
			return nil
		})
		entries = page.Entries()
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// logRow is the columns of an event as they are read.
type logRow struct {
	sequence                                    int64
	eventID, ticketID, name, occurTime, receive string
	content                                     pgtype.DriverBytes
}

func (r *logRow) columns() []any {
	return []any{&r.sequence, &r.eventID, &r.ticketID, &r.name, &r.occurTime, &r.receive, &r.content}
}

func (r *logRow) unescaped() ticketcodec.LogRow {
	return ticketcodec.LogRow{Event: ticket.Event{Sequence: r.sequence, EventID: postgresdb.UnescapeText(r.eventID),
		TicketID: postgresdb.UnescapeText(r.ticketID), Name: ticket.EventName(r.name)}, OccurTime: r.occurTime, ReceiveTime: r.receive,
		Content: r.content}
}

// WalkTickets implements [ticket.Log].
func (s *Store) WalkTickets(ctx context.Context, filter ticket.Filter, after string, limit ticket.PageLimit) (ticket.WalkPage, error) {
	page := ticket.NewPageBuilder(limit)
	var last string
	err := s.read(ctx, func(tx pgx.Tx) error {
		where := newConditions(filter)
		where.add("ticket_id > ", postgresdb.EscapeText(after))
		var bound string
		err := tx.QueryRow(ctx, walkBound, postgresdb.EscapeText(after), walkStride-1).Scan(&bound)
		switch {
		case err == nil:
			where.add("ticket_id <= ", bound)
			last = postgresdb.UnescapeText(bound)
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		l := list{filter: filter, plan: inOrder}
		if words := filter.Words(); len(words) > 0 {
			// To look for them among all tickets in each part would make a walk of many parts take that many searches.
			where.texts = append(where.texts, rowHas("tickets", where.bindWords(words)))
		}
		return l.readRows(ctx, tx, page, where, " ORDER BY ticket_id")
	})
	if err != nil {
		return ticket.WalkPage{}, err
	}
	tickets := page.Tickets()
	if page.More() {
		last = tickets[len(tickets)-1].ID
	}
	return ticket.WalkPage{Tickets: tickets, Last: last}, nil
}

// TicketBefore implements [ticket.Log].
func (s *Store) TicketBefore(ctx context.Context, ticketID string, sequence int64, maxEvents int) (ticket.Ticket, error) {
	var record *ticket.Record
	err := s.query(ctx, func(q postgresdb.Querier) error {
		record = ticket.NewRecord(ticketID)
		rows, err := q.Query(ctx, readBefore, postgresdb.EscapeText(ticketID), sequence, maxEvents+1)
		if err != nil {
			return err
		}
		var row logRow
		var fullSnapshot bool
		var payload pgtype.DriverBytes
		events := 0
		_, err = pgx.ForEachRow(rows, append(row.columns(), &fullSnapshot, &payload), func() error {
			if events++; events > maxEvents {
				return ticket.ErrTooManyEvents
			}
			r := row.unescaped()
			change, err := ticketcodec.UnmarshalChange(&r, fullSnapshot, payload)
			record.Apply(&change)
			return err
		})
		if err == nil && events == 0 {
			return ticket.ErrNotFound
		}
		return err
	})
	if err != nil {
		return ticket.Ticket{}, err
	}
	return record.Ticket, nil
}

// Watch implements [ticket.Log].
func (s *Store) Watch(ctx context.Context, wake func(), onError func(error)) {
	var both sync.WaitGroup
	both.Go(func() { s.recorded.Listen(ctx, wake) })
	both.Go(func() { s.others.Watch(ctx, wake, onError) })
	both.Wait()
}

// noteRecorded tells whoever follows the log, here and elsewhere, that it has grown.
func (s *Store) noteRecorded() {
	s.recorded.Ring()
	s.others.Note()
}
