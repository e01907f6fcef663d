package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	// readLog reads entries in the order of the log, each with its ticket. The caller stops reading when the page has no room for the next
	// entry.
	readLog = "SELECT e.sequence, coalesce(e.event_id, ''), e.ticket_id, e.name, e.occur_time, e.receive_time, e.content, e.nonce, t.erased," +
		" length(t.content) + length(t.stamps), t.content, t.stamps FROM events e LEFT JOIN tickets t ON t.ticket_id = e.ticket_id" +
		" WHERE e.sequence > ? ORDER BY e.sequence LIMIT ?"

	// snapshotStride is the number of tickets that a part of a snapshot reads. That takes some milliseconds.
	snapshotStride = 2000
	// ticketIDIndex is the index that SQLite creates for the uniqueness of ticket ids.
	ticketIDIndex = "sqlite_autoindex_tickets_1"
	snapshotBound = "SELECT ticket_id FROM tickets WHERE ticket_id > ? ORDER BY ticket_id LIMIT 1 OFFSET ?"
)

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

// Subscribe implements [ticket.Log]. No other process uses the file, so it never calls onError.
func (s *Store) Subscribe(ctx context.Context, wake func(), _ func(error)) {
	s.appended.Subscribe(ctx, wake)
}
