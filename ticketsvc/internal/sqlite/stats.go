package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	// groupStats and what narrowStats returns have a row for each group, or for tickets of one status, all assigned or all not. Its last column
	// is what [ticket.ParseWaiting] reads. Without the plus SQLite would take the expression for a number, and not look it up in the index.
	groupStats = "SELECT status, unassigned, tickets, coalesce((SELECT t.waiting_since || t.ticket_id FROM tickets t INDEXED BY tickets_by_wait" +
		" WHERE t.app_id = c.app_id AND t.category_id = c.category_id AND t.status = c.status AND (t.assigned_to = '') = +c.unassigned" +
		" AND t.waiting_since <> '' ORDER BY t.waiting_since, t.ticket_id LIMIT 1), '') FROM ticket_counts c"

	countParameters = 5
	dropEmptyCounts = "DELETE FROM ticket_counts WHERE tickets = 0"
)

// narrowStats returns the statement that looks at the tickets themselves, by an index.
func narrowStats(index, where string) string {
	return "SELECT status, assigned_to = '', count(*), coalesce(min(waiting_since || ticket_id) FILTER (WHERE waiting_since <> ''), '')" +
		" FROM tickets INDEXED BY " + index + where + " GROUP BY 1, 2"
}

// Stats implements [ticket.Store].
func (s *Store) Stats(ctx context.Context, filter ticket.Filter) (ticket.Stats, error) {
	var statement string
	var args []any
	if filter.SelectsGroups() {
		var where string
		where, args = groupConditions(filter).sql()
		statement = groupStats + where
	} else {
		var where string
		where, args = filterConditions(filter).sql()
		statement = narrowStats(indexFor(filter, "update_time"), where)
	}
	rows, err := s.db.Reader.QueryContext(ctx, statement, args...)
	if err != nil {
		return ticket.Stats{}, translate(ctx, err)
	}
	stats, err := scanStats(rows)
	if err != nil {
		return ticket.Stats{}, translate(ctx, err)
	}
	return stats, nil
}

// scanStats reads all rows of [groupStats] or [narrowStats], and closes them.
func scanStats(rows *sql.Rows) (stats ticket.Stats, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var status ticket.Status
		var unassigned bool
		var count int64
		var oldest string
		if err := rows.Scan(&status, &unassigned, &count, &oldest); err != nil {
			return ticket.Stats{}, err
		}
		waiting, err := ticket.ParseWaiting(oldest)
		if err != nil {
			return ticket.Stats{}, err
		}
		stats.Add(status, unassigned, count, waiting)
	}
	return stats, rows.Err()
}

// count keeps the numbers of tickets in step with the tickets that tx writes.
func (s *Store) count(ctx context.Context, tx *sql.Tx, changes []ticket.GroupChange) error {
	rows := make([]any, 0, countParameters*len(changes))
	fewer := false
	for _, c := range changes {
		rows = append(rows, c.Group.AppID, c.Group.CategoryID, int64(c.Group.Status), c.Group.Unassigned, c.Change)
		fewer = fewer || c.Change < 0
	}
	if _, err := s.addCounts.Exec(ctx, tx, nil, rows, countParameters); err != nil || !fewer {
		return err
	}
	_, err := tx.StmtContext(ctx, s.dropEmptyCounts).ExecContext(ctx)
	return err
}

// fillSize is how many tickets are filled in at a time.
const fillSize = 1000

// fillWaits writes since when the tickets wait that were there before [ticket.Stats]. Of a ticket that can't be read the columns are used.
func fillWaits(ctx context.Context, tx *sql.Tx) error {
	update, err := tx.PrepareContext(ctx, "UPDATE tickets SET waiting_since = ? WHERE number = ?")
	if err != nil {
		return err
	}
	defer func() { _ = update.Close() }()
	type wait struct {
		number int64
		since  string
	}
	for last, waits := int64(0), make([]wait, 0, fillSize); ; waits = waits[:0] {
		rows, err := tx.QueryContext(ctx, "SELECT number, ticket_id, coalesce(nullif(create_time, ''), update_time), content FROM tickets WHERE number > ?"+
			" AND erased = 0 AND status <> ? ORDER BY number LIMIT ?", last, int64(ticket.StatusClosed), fillSize)
		if err != nil {
			return err
		}
		for rows.Next() {
			var id, since string
			var content sql.RawBytes
			if err := rows.Scan(&last, &id, &since, &content); err != nil {
				return errors.Join(err, rows.Close())
			}
			if t, err := ticketcodec.UnmarshalTicket(id, content); err == nil {
				since = t.WaitingSince().SortableText()
			}
			waits = append(waits, wait{number: last, since: since})
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		for _, w := range waits {
			if _, err := update.ExecContext(ctx, w.since, w.number); err != nil {
				return err
			}
		}
		if len(waits) < fillSize {
			return nil
		}
	}
}
