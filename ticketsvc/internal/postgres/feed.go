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
	// channel is the channel on which replicas notify each other that the log has grown.
	channel = "ticketbridge_events"

	selectPosition = "SELECT sequence, coalesce(event_id, ''), ticket_id, name, nonce FROM ticketsvc.events"
	lastPosition   = selectPosition + " ORDER BY sequence DESC LIMIT 1"
	positionAt     = selectPosition + " WHERE sequence = $1"
	positionsAt    = selectPosition + " WHERE sequence = ANY($1)"

	// readLogOf reads entries. The first entry of each ticket has the ticket. A single statement sees the database at one moment. The server
	// sends all selected rows, even if they are not read, so the statement leaves out the rows beyond the size of a page.
	//
	// The number of entries is a part of the statement's text. A planner that does not know the number assumes a tenth of the log, and reads
	// all tickets. The planner also does so if it has few statistics of the tables, so the statement looks up each ticket separately.
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

	// measureBefore returns the number of a ticket's events, and their size. The events of an erased ticket are not counted, because their
	// values are gone.
	measureBefore = `SELECT count(*), coalesce(sum(bytes), 0) FROM (
  SELECT octet_length(content) + octet_length(payload) AS bytes FROM ticketsvc.events
  WHERE ticket_id = $1 AND sequence < $2 AND NOT (SELECT erased FROM ticketsvc.tickets WHERE ticket_id = $1) ORDER BY sequence LIMIT $3
 ) AS events`
	// readBefore reads these events with their values.
	readBefore = `SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, full_snapshot, payload FROM ticketsvc.events
 WHERE ticket_id = $1 AND sequence < $2 ORDER BY sequence`

	// snapshotStride is the number of tickets that a part of a snapshot reads. That takes some milliseconds.
	snapshotStride = 2000
	snapshotBound  = "SELECT ticket_id FROM ticketsvc.tickets WHERE ticket_id > $1 ORDER BY ticket_id LIMIT 1 OFFSET $2 - 1"
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

// LastPosition implements [ticket.Log].
func (s *Store) LastPosition(ctx context.Context) (ticket.LogPosition, error) {
	position, err := s.position(ctx, lastPosition)
	if errors.Is(err, ticket.ErrPositionNotFound) {
		return ticket.LogPosition{}, nil
	}
	return position, err
}

// PositionAt implements [ticket.Log].
func (s *Store) PositionAt(ctx context.Context, sequence int64) (ticket.LogPosition, error) {
	if sequence == 0 {
		return ticket.LogPosition{}, mapError(ctx.Err())
	}
	return s.position(ctx, positionAt, sequence)
}

// PositionsAt implements [ticket.Store].
func (s *Store) PositionsAt(ctx context.Context, sequences []int64) (positions map[int64]ticket.LogPosition, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		positions = make(map[int64]ticket.LogPosition, len(sequences))
		rows, err := q.Query(ctx, positionsAt, sequences)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			position, err := scanPosition(rows)
			if err != nil {
				return err
			}
			positions[position.Sequence] = position
		}
		if err := rows.Err(); err != nil || !slices.ContainsFunc(sequences, func(sequence int64) bool {
			_, found := positions[sequence]
			return sequence > 0 && !found
		}) {
			return err
		}
		if err := positionNotFound(ctx, q); !errors.Is(err, ticket.ErrPositionNotFound) {
			return err
		}
		return nil
	})
	return positions, err
}

func (s *Store) position(ctx context.Context, query string, arguments ...any) (position ticket.LogPosition, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		position, err = scanPosition(q.QueryRow(ctx, query, arguments...))
		if errors.Is(err, pgx.ErrNoRows) {
			return positionNotFound(ctx, q)
		}
		return err
	})
	return position, err
}

// scanPosition reads a row of selectPosition.
func scanPosition(row pgx.Row) (ticket.LogPosition, error) {
	var e ticket.Event
	var name string
	var nonce int64
	if err := row.Scan(&e.Sequence, &e.EventID, &e.TicketID, &name, &nonce); err != nil {
		return ticket.LogPosition{}, err
	}
	e.EventID, e.TicketID, e.Name = postgresdb.UnescapeText(e.EventID), postgresdb.UnescapeText(e.TicketID), ticket.EventName(name)
	return e.Position(nonce), nil
}

// positionNotFound returns [ticket.ErrPositionNotFound] for a position that the log does not have. If the server can't be written to, it
// may be a standby whose log is behind. Then positionNotFound returns [postgresdb.ErrReadOnly].
func positionNotFound(ctx context.Context, q postgresdb.Querier) error {
	var readOnly bool
	if err := q.QueryRow(ctx, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool").Scan(&readOnly); err != nil {
		return err
	}
	if readOnly {
		return postgresdb.ErrReadOnly
	}
	return ticket.ErrPositionNotFound
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
			r.Nonce, r.Erased, r.TicketBytes, r.Ticket, r.Versions = nonce, erased, bytes, t, stamps
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

// logRow has the columns of an event as they are read.
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

// ReadSnapshot implements [ticket.Log].
func (s *Store) ReadSnapshot(ctx context.Context, filter ticket.Filter, after string, limit ticket.PageLimit) (ticket.SnapshotPage, error) {
	page := ticket.NewPageBuilder(limit)
	var last string
	err := s.readLong(ctx, func(tx pgx.Tx) error {
		where := filterConditions(filter)
		where.add("ticket_id > ", postgresdb.EscapeText(after))
		var bound string
		err := tx.QueryRow(ctx, snapshotBound, postgresdb.EscapeText(after), snapshotStride).Scan(&bound)
		switch {
		case err == nil:
			where.add("ticket_id <= ", bound)
			last = postgresdb.UnescapeText(bound)
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		l := list{filter: filter, plan: inOrder}
		if words := filter.Words(); len(words) > 0 {
			// The index of words is not used: with it, each part would take as long as a search in all tickets.
			where.texts = append(where.texts, rowHas("tickets", where.bindWords(words)))
		}
		return l.readRows(ctx, tx, page, where, " ORDER BY ticket_id")
	})
	if err != nil {
		return ticket.SnapshotPage{}, err
	}
	return ticket.NewSnapshotPage(filter, page, last), nil
}

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

// Subscribe implements [ticket.Log].
func (s *Store) Subscribe(ctx context.Context, wake func(), onError func(error)) {
	var both sync.WaitGroup
	both.Go(func() { s.appended.Subscribe(ctx, wake) })
	both.Go(func() { s.others.Run(ctx, wake, onError) })
	both.Wait()
}

// notify notifies the subscribers of the log, in this process and in others, that the log has grown.
func (s *Store) notify() {
	s.appended.Notify()
	s.others.Notify()
}
