package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	selectPosition = "SELECT sequence, coalesce(event_id, ''), ticket_id, name, nonce FROM events"
	lastPosition   = selectPosition + " ORDER BY sequence DESC LIMIT 1"
	positionAt     = selectPosition + " WHERE sequence = ?"

	// readLog reads entries in the order of the log, each with its ticket. The caller stops reading when the page has no room for the next
	// entry.
	readLog = "SELECT e.sequence, coalesce(e.event_id, ''), e.ticket_id, e.name, e.occur_time, e.receive_time, e.content, e.nonce, t.erased," +
		" length(t.content) + length(t.stamps), t.content, t.stamps FROM events e LEFT JOIN tickets t ON t.ticket_id = e.ticket_id" +
		" WHERE e.sequence > ? ORDER BY e.sequence LIMIT ?"

	// The values of an erased ticket's events are gone, so the ticket before such an event can't be computed.
	selectBefore = " FROM events WHERE ticket_id = ?1 AND sequence < ?2 AND NOT (SELECT erased FROM tickets WHERE ticket_id = ?1)" +
		" ORDER BY sequence"
	measureBefore = "SELECT count(*), coalesce(sum(bytes), 0) FROM (SELECT length(content) + length(payload) AS bytes" + selectBefore +
		" LIMIT ?3)"
	readBefore = "SELECT sequence, event_id, ticket_id, name, occur_time, receive_time, content, full_snapshot, payload" + selectBefore

	// snapshotStride is the number of tickets that a part of a snapshot reads. That takes some milliseconds.
	snapshotStride = 2000
	// ticketIDIndex is the index that SQLite creates for the uniqueness of ticket ids.
	ticketIDIndex = "sqlite_autoindex_tickets_1"
	snapshotBound = "SELECT ticket_id FROM tickets WHERE ticket_id > ? ORDER BY ticket_id LIMIT 1 OFFSET ?"
)

// DatabaseID implements [ticket.Log].
func (s *Store) DatabaseID() ticket.DatabaseID { return s.databaseID }

func (s *Store) readIdentity(ctx context.Context) error {
	var id, key []byte
	if err := s.db.QuickReader.QueryRowContext(ctx, "SELECT database_id, erasure_key FROM identity").Scan(&id, &key); err != nil {
		return err
	}
	copy(s.databaseID[:], id)
	copy(s.erasureKey[:], key)
	return nil
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
		return ticket.LogPosition{}, mapError(ctx, ctx.Err())
	}
	return s.position(ctx, positionAt, sequence)
}

// PositionsAt implements [ticket.Store].
func (s *Store) PositionsAt(ctx context.Context, sequences []int64) (map[int64]ticket.LogPosition, error) {
	args := make([]any, len(sequences))
	for i, sequence := range sequences {
		args[i] = sequence
	}
	positions := make(map[int64]ticket.LogPosition, len(sequences))
	err := s.findPositions.Query(ctx, nil, args, 1, func(rows *sql.Rows) error {
		position, err := scanPosition(rows)
		positions[position.Sequence] = position
		return err
	})
	if err != nil {
		return nil, mapError(ctx, err)
	}
	return positions, nil
}

func (s *Store) position(ctx context.Context, query string, args ...any) (ticket.LogPosition, error) {
	position, err := scanPosition(s.db.QuickReader.QueryRowContext(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return ticket.LogPosition{}, ticket.ErrPositionNotFound
	}
	return position, mapError(ctx, err)
}

// scanPosition reads a row of selectPosition.
func scanPosition(row interface{ Scan(into ...any) error }) (ticket.LogPosition, error) {
	var e ticket.Event
	var nonce int64
	if err := row.Scan(&e.Sequence, &e.EventID, &e.TicketID, &e.Name, &nonce); err != nil {
		return ticket.LogPosition{}, err
	}
	return e.Position(nonce), nil
}

// ReadLog implements [ticket.Log].
func (s *Store) ReadLog(ctx context.Context, after int64, limit ticket.PageLimit) ([]ticket.Entry, error) {
	page := ticketcodec.NewLogPage(limit)
	err := forEach(s.readLog.QueryContext(ctx, after, limit.Items))(func(rows *sql.Rows) error {
		var row ticketcodec.LogRow
		var content, t, stamps sql.RawBytes
		var erased sql.NullBool
		var bytes sql.NullInt64
		e := &row.Event
		if err := rows.Scan(&e.Sequence, &e.EventID, &e.TicketID, &e.Name, &row.OccurTime, &row.ReceiveTime, &content, &row.Nonce,
			&erased, &bytes, &t, &stamps); err != nil {
			return err
		}
		row.Content, row.Erased, row.TicketBytes, row.Ticket, row.Versions = content, erased.Bool, int(bytes.Int64), t, stamps
		if !page.Add(&row) {
			return errEnough
		}
		return nil
	})
	if err != nil {
		return nil, mapError(ctx, err)
	}
	return page.Entries(), nil
}

// ReadSnapshot implements [ticket.Log].
func (s *Store) ReadSnapshot(ctx context.Context, filter ticket.Filter, after string, limit ticket.PageLimit) (ticket.SnapshotPage, error) {
	page := ticket.NewPageBuilder(limit)
	var last string
	err := s.read(ctx, func(tx *sql.Tx) error {
		where := filterConditions(filter)
		where.add("ticket_id > ?", after)
		err := tx.QueryRowContext(ctx, snapshotBound, after, snapshotStride-1).Scan(&last)
		switch {
		case err == nil:
			where.add("ticket_id <= ?", last)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		// The index of ids is named because SQLite might otherwise use another index, such as that of the property, and sort.
		l := list{tx: tx, by: "INDEXED BY " + ticketIDIndex}
		if filter.Text == "" {
			return l.readRows(ctx, page, nil, where, " ORDER BY ticket_id")
		}
		// The index of words is not used, because each part would have to read all matches from it.
		scan := &scanFirst{matcher: filter.Matcher(), minHitRate: snapshotStride}
		err = l.readRows(ctx, page, scan, where, " ORDER BY ticket_id")
		if scan.ended {
			last = scan.last
		}
		return err
	})
	if err != nil {
		return ticket.SnapshotPage{}, err
	}
	return ticket.NewSnapshotPage(filter, page, last), nil
}

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

// Subscribe implements [ticket.Log]. No other process uses the file, so it never calls onError.
func (s *Store) Subscribe(ctx context.Context, wake func(), _ func(error)) {
	s.appended.Subscribe(ctx, wake)
}
