package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

	selectMark = "SELECT sequence, coalesce(event_id, ''), ticket_id, name, nonce FROM ticketsvc.events"
	lastMark   = selectMark + " ORDER BY sequence DESC LIMIT 1"
	markAt     = selectMark + " WHERE sequence = $1"
	marksAt    = selectMark + " WHERE sequence = ANY($1)"

	// readLogOf reads entries, each with its ticket where that comes for the first time. One statement sees one moment. The server sends all
	// that it is asked for, read or not, so it leaves out what comes after more than a page can hold.
	//
	// Their number is a part of the text: a planner that does not know it takes it for a tenth of the log, and reads all tickets. It does so
	// too where it knows little of the tables, unless each ticket is asked for on its own.
	readLogOf = `WITH page AS (
  SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, nonce,
   row_number() OVER (PARTITION BY ticket_id ORDER BY sequence) = 1 AS first
  FROM (SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, nonce FROM ticketsvc.events WHERE sequence > $1
   ORDER BY sequence LIMIT %d) AS events
 ), sized AS (
  SELECT p.sequence, p.event_id, p.ticket_id, p.name, p.occur_time, p.receive_time, p.content, p.nonce, p.first, t.erased,
   t.content AS ticket, t.stamps, octet_length(t.content) + octet_length(t.stamps) AS bytes
  FROM page p LEFT JOIN LATERAL (SELECT erased, content, stamps FROM ticketsvc.tickets WHERE ticket_id = p.ticket_id LIMIT 1) t ON true
 ), measured AS (
  SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, nonce, first, erased, ticket, stamps, bytes,
   sum(octet_length(content) + CASE WHEN first THEN bytes ELSE 0 END) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS total
  FROM sized
 )
 SELECT sequence, coalesce(event_id, ''), ticket_id, name, occur_time, receive_time, content, nonce, coalesce(erased, false),
  coalesce(bytes, 0), CASE WHEN first THEN ticket END, CASE WHEN first THEN stamps END
 FROM measured WHERE total <= $2 OR sequence = $1 + 1 ORDER BY sequence`

	// measureBefore counts a ticket's events, and how large they are. Erasing leaves nothing that could be folded.
	measureBefore = `SELECT count(*), coalesce(sum(bytes), 0) FROM (
  SELECT octet_length(content) + octet_length(payload) AS bytes FROM ticketsvc.events
  WHERE ticket_id = $1 AND sequence < $2 AND NOT (SELECT erased FROM ticketsvc.tickets WHERE ticket_id = $1) ORDER BY sequence LIMIT $3
 ) AS events`
	// readBefore reads what they said.
	readBefore = `SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, full_snapshot, payload FROM ticketsvc.events
 WHERE ticket_id = $1 AND sequence < $2 ORDER BY sequence`

	// walkStride is how many tickets a part of a walk looks at: some milliseconds' worth.
	walkStride = 2000
	walkBound  = "SELECT ticket_id FROM ticketsvc.tickets WHERE ticket_id > $1 ORDER BY ticket_id LIMIT 1 OFFSET $2 - 1"
)

// DatabaseID implements [ticket.Log].
func (s *Store) DatabaseID() ticket.DatabaseID { return s.databaseID }

func (s *Store) readIdentity(ctx context.Context) error {
	return s.query(ctx, func(q postgresdb.Querier) error {
		var id pgtype.UUID
		var key []byte
		err := q.QueryRow(ctx, "SELECT database_id, erasure_key FROM ticketsvc.identity").Scan(&id, &key)
		s.databaseID = id.Bytes
		copy(s.erasureKey[:], key)
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

// MarksAt implements [ticket.Store].
func (s *Store) MarksAt(ctx context.Context, sequences []int64) (marks map[int64]ticket.Mark, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		marks = make(map[int64]ticket.Mark, len(sequences))
		rows, err := q.Query(ctx, marksAt, sequences)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			mark, err := scanMark(rows)
			if err != nil {
				return err
			}
			marks[mark.Sequence] = mark
		}
		if err := rows.Err(); err != nil || !slices.ContainsFunc(sequences, func(sequence int64) bool {
			_, found := marks[sequence]
			return sequence > 0 && !found
		}) {
			return err
		}
		if err := notFound(ctx, q); !errors.Is(err, ticket.ErrNotFound) {
			return err
		}
		return nil
	})
	return marks, err
}

func (s *Store) mark(ctx context.Context, query string, arguments ...any) (mark ticket.Mark, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		mark, err = scanMark(q.QueryRow(ctx, query, arguments...))
		if errors.Is(err, pgx.ErrNoRows) {
			return notFound(ctx, q)
		}
		return err
	})
	return mark, err
}

// scanMark reads the mark of a row of selectMark.
func scanMark(row pgx.Row) (ticket.Mark, error) {
	var e ticket.Event
	var name string
	var nonce int64
	if err := row.Scan(&e.Sequence, &e.EventID, &e.TicketID, &name, &nonce); err != nil {
		return ticket.Mark{}, err
	}
	e.EventID, e.TicketID, e.Name = postgresdb.UnescapeText(e.EventID), postgresdb.UnescapeText(e.TicketID), ticket.EventName(name)
	return e.Mark(nonce), nil
}

// notFound returns [ticket.ErrNotFound] for an event that the log does not have. A server that can't be written to can be a standby, which
// the end of the log has not reached yet: there the answer is that the database is unavailable.
func notFound(ctx context.Context, q postgresdb.Querier) error {
	var readOnly bool
	if err := q.QueryRow(ctx, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool").Scan(&readOnly); err != nil {
		return err
	}
	if readOnly {
		return postgresdb.ErrReadOnly
	}
	return ticket.ErrNotFound
}

func readLog(items int) string { return fmt.Sprintf(readLogOf, items) }

// ReadLog implements [ticket.Log].
func (s *Store) ReadLog(ctx context.Context, after int64, limit ticket.PageLimit) (entries []ticket.Entry, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		rows, err := q.Query(ctx, readLog(limit.Items), after, limit.Bytes)
		if err != nil {
			return err
		}
		page := ticketcodec.NewLogPage(limit)
		var row logRow
		var erased bool
		var bytes int
		var nonce int64
		var t, stamps pgtype.DriverBytes
		_, err = pgx.ForEachRow(rows, append(row.columns(), &nonce, &erased, &bytes, &t, &stamps), func() error {
			r := row.unescaped()
			r.Nonce, r.Erased, r.TicketBytes, r.Ticket, r.Stamps = nonce, erased, bytes, t, stamps
			if !page.Add(&r) {
				return errPageFull
			}
			return nil
		})
		if errors.Is(err, errPageFull) {
			err = nil
		}
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
	err := s.readLong(ctx, func(tx pgx.Tx) error {
		where := newConditions(filter)
		where.add("ticket_id > ", postgresdb.EscapeText(after))
		var bound string
		err := tx.QueryRow(ctx, walkBound, postgresdb.EscapeText(after), walkStride).Scan(&bound)
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
	return ticket.NewWalkPage(filter, page, last), nil
}

// TicketBefore implements [ticket.Log].
func (s *Store) TicketBefore(ctx context.Context, ticketID string, sequence int64, limit ticket.PageLimit) (ticket.Ticket, error) {
	var record *ticket.Record
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
		record = ticket.NewRecord(ticketID)
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
				record.Apply(&change)
			}
			return err
		})
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
