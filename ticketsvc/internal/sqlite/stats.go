package sqlite

import (
	"context"
	"database/sql"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	// groupStats has one row for each group. The statement of narrowStats has one row for the tickets of one status that are all assigned or
	// all unassigned. The last column of both is a string for [ticket.ParseWaiting]. Without the plus, SQLite would treat the expression as a
	// number, and not look it up in the index.
	groupStats = "SELECT status, unassigned, tickets, coalesce((SELECT t.waiting_since || t.ticket_id FROM tickets t" +
		" INDEXED BY tickets_by_wait WHERE t.app_id = c.app_id AND t.category_id = c.category_id AND t.status = c.status" +
		" AND (t.assigned_to = '') = +c.unassigned" +
		" AND t.waiting_since <> '' ORDER BY t.waiting_since, t.ticket_id LIMIT 1), '') FROM ticket_counts c"

	countParameters = 5
	dropEmptyCounts = "DELETE FROM ticket_counts WHERE tickets = 0"
)

// narrowStats returns the statement that reads the tickets themselves. by is the clause that names the index to use.
func narrowStats(by, where string) string {
	return "SELECT status, assigned_to = '', count(*), coalesce(min(waiting_since || ticket_id) FILTER (WHERE waiting_since <> ''), '')" +
		" FROM tickets " + by + where + " GROUP BY 1, 2"
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
		narrow, by := filterConditions(filter), "INDEXED BY "+indexFor(filter, "update_time")
		if words := filter.Words(); len(words) > 0 {
			narrow.addWords(words)
			by = "NOT INDEXED" // SQLite finds the rows by their numbers.
		}
		var where string
		where, args = narrow.sql()
		statement = narrowStats(by, where)
	}
	var stats ticket.Stats
	err := forEach(s.db.Reader.QueryContext(ctx, statement, args...))(func(rows *sql.Rows) error {
		var status ticket.Status
		var unassigned bool
		var count int64
		var oldest string
		if err := rows.Scan(&status, &unassigned, &count, &oldest); err != nil {
			return err
		}
		waiting, err := ticket.ParseWaiting(oldest)
		stats.Add(status, unassigned, count, waiting)
		return err
	})
	if err != nil {
		return ticket.Stats{}, mapError(ctx, err)
	}
	return stats, nil
}

// count updates the numbers of tickets for the tickets that tx writes.
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

// fillSize is the number of tickets that are filled at once.
const fillSize = 1000

// fillWaits sets waiting_since of the tickets that were stored before that column existed. It uses the other columns for a ticket that
// can't be decoded.
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
		if err := forEach(tx.QueryContext(ctx, "SELECT number, ticket_id, coalesce(nullif(create_time, ''), update_time), content FROM tickets"+
			" WHERE number > ? AND erased = 0 AND status <> ? ORDER BY number LIMIT ?", last, int64(ticket.StatusClosed), fillSize),
		)(func(rows *sql.Rows) error {
			var id, since string
			var content sql.RawBytes
			if err := rows.Scan(&last, &id, &since, &content); err != nil {
				return err
			}
			if t, err := ticketcodec.UnmarshalTicket(id, content); err == nil {
				since = t.WaitingSince().SortableText()
			}
			waits = append(waits, wait{number: last, since: since})
			return nil
		}); err != nil {
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
