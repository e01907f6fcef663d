package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	// pendingDeltas are the changes that are not in ticket_counts yet, one row for each group and transaction. The scan begins after the
	// changes that are, so that it does not pass rows that are deleted and not vacuumed yet.
	pendingDeltas = `ticketsvc.ticket_count_changes t,
 unnest(t.app_ids, t.category_ids, t.statuses, t.unassigned, t.changes) AS u (app_id, category_id, status, unassigned, change)
 WHERE t.sequence > (SELECT sequence FROM ticketsvc.ticket_counts_folded)`

	// groupStats and narrowStats are followed by conditions and by their ends. groupStats has one row for each group. narrowStats has one row
	// for the tickets of one status that are all assigned or all unassigned. The last column of both is a string for [ticket.ParseWaiting].
	groupStats = `WITH counted AS MATERIALIZED (SELECT app_id, category_id, status, unassigned, sum(tickets)::bigint AS tickets FROM (
 SELECT app_id, category_id, status, unassigned, tickets FROM ticketsvc.ticket_counts
 UNION ALL SELECT u.app_id, u.category_id, u.status, u.unassigned, u.change FROM ` + pendingDeltas + `) AS parts`
	groupStatsEnd = ` GROUP BY 1, 2, 3, 4 HAVING sum(tickets) <> 0)
 SELECT status, unassigned, tickets, coalesce((SELECT t.waiting_since || t.ticket_id FROM ticketsvc.tickets t
 WHERE t.app_id = c.app_id AND t.category_id = c.category_id AND t.status = c.status AND (t.assigned_to = '') = c.unassigned
 AND t.waiting_since <> '' ORDER BY t.waiting_since, t.ticket_id LIMIT 1), '') FROM counted c`
	narrowStats = `SELECT status, assigned_to = '', count(*), coalesce(min(waiting_since || ticket_id) FILTER (WHERE waiting_since <> ''), '')
 FROM ticketsvc.tickets`
	narrowStatsEnd = ` GROUP BY 1, 2`

	// addChanges adds events like [numbering.appendEvents], together with the changes of the numbers of tickets.
	addChanges    = `WITH appended AS (`
	addChangesEnd = ` RETURNING sequence) INSERT INTO ticketsvc.ticket_count_changes (sequence, app_ids, category_ids,
 statuses, unassigned, changes) SELECT max(sequence), $9::text[], $10::text[], $11::int[], $12::bool[], $13::bigint[] FROM appended`

	// rollUpCounts moves the changes of the oldest transactions, at most 128, into ticket_counts. It does nothing if another transaction does
	// so at the time, so that a transaction that records events never waits for this. The rows are committed in the order of the log, so no
	// row can appear later at or before the position up to which changes are moved.
	rollUpCounts = `WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock('ticketsvc.ticket_counts'::regclass::oid::int, 0) AS mine),
 taken AS (DELETE FROM ticketsvc.ticket_count_changes WHERE (SELECT mine FROM turn)
  AND sequence > (SELECT sequence FROM ticketsvc.ticket_counts_folded)
  AND sequence <= (SELECT max(sequence) FROM (SELECT c.sequence FROM ticketsvc.ticket_count_changes c
   WHERE c.sequence > (SELECT sequence FROM ticketsvc.ticket_counts_folded) ORDER BY c.sequence LIMIT 128) AS oldest)
  RETURNING sequence, app_ids, category_ids, statuses, unassigned, changes),
 sums AS (SELECT u.app_id, u.category_id, u.status, u.unassigned, sum(u.change)::bigint AS change FROM taken t,
  unnest(t.app_ids, t.category_ids, t.statuses, t.unassigned, t.changes) AS u (app_id, category_id, status, unassigned, change)
  GROUP BY 1, 2, 3, 4 HAVING sum(u.change) <> 0),
 emptied AS (DELETE FROM ticketsvc.ticket_counts c USING sums s WHERE c.app_id = s.app_id AND c.category_id = s.category_id
  AND c.status = s.status AND c.unassigned = s.unassigned AND c.tickets + s.change = 0
  RETURNING c.app_id, c.category_id, c.status, c.unassigned),
 added AS (INSERT INTO ticketsvc.ticket_counts AS c (app_id, category_id, status, unassigned, tickets)
  SELECT s.app_id, s.category_id, s.status, s.unassigned, s.change FROM sums s WHERE (s.app_id, s.category_id, s.status, s.unassigned)
  NOT IN (SELECT app_id, category_id, status, unassigned FROM emptied)
  ON CONFLICT (app_id, category_id, status, unassigned) DO UPDATE SET tickets = c.tickets + excluded.tickets)
 UPDATE ticketsvc.ticket_counts_folded SET sequence = (SELECT max(sequence) FROM taken) WHERE EXISTS (SELECT FROM taken)`

	// rollUpEvery is the number of batches after which a store rolls up counts. Readers sum the pending changes: the larger rollUpEvery is,
	// the longer stats take. The smaller it is, the more dead rows ticket_counts has.
	rollUpEvery = 16
)

// Stats implements [ticket.Store].
func (s *Store) Stats(ctx context.Context, filter ticket.Filter) (stats ticket.Stats, err error) {
	var where conditions
	before, after := narrowStats, narrowStatsEnd
	if filter.SelectsGroups() {
		before, after = groupStats, groupStatsEnd
		where = groupConditions(filter)
	} else {
		where = filterConditions(filter)
		if words := filter.Words(); len(words) > 0 {
			where.texts = append(where.texts, isFoundBy(where.bindWords(words)))
		}
	}
	err = s.queryLong(ctx, func(q postgresdb.Querier) error {
		stats = ticket.Stats{}
		rows, err := q.Query(ctx, before+where.sql()+after, where.arguments...)
		if err != nil {
			return err
		}
		var status ticket.Status
		var unassigned bool
		var count int64
		var oldest string
		_, err = pgx.ForEachRow(rows, []any{&status, &unassigned, &count, &oldest}, func() error {
			waiting, err := ticket.ParseWaiting(postgresdb.UnescapeText(oldest))
			if err != nil {
				return err
			}
			stats.Add(status, unassigned, count, waiting)
			return nil
		})
		return err
	})
	if err != nil {
		return ticket.Stats{}, err
	}
	return stats, nil
}

// queueEvents queues in batch the statements that add events, given as the arguments of [numbering.appendEvents], and the changes of the
// numbers of tickets that the events make.
func (s *Store) queueEvents(batch *pgx.Batch, events []any, changes []ticket.GroupChange) {
	batch.Queue(s.numbering.lock)
	if len(changes) == 0 {
		batch.Queue(s.numbering.appendEvents, events...)
		return
	}
	n := len(changes)
	appIDs, categoryIDs, statuses := make([]string, n), make([]string, n), make([]int32, n)
	unassigned, numbers := make([]bool, n), make([]int64, n)
	for i, c := range changes {
		appIDs[i], categoryIDs[i], statuses[i] = filterable(c.Group.AppID), filterable(c.Group.CategoryID), int32(c.Group.Status)
		unassigned[i], numbers[i] = c.Group.Unassigned, c.Change
	}
	batch.Queue(addChanges+s.numbering.appendEvents+addChangesEnd, append(events, appIDs, categoryIDs, statuses, unassigned, numbers)...)
}

// fillSize is the number of tickets that are filled at once.
const fillSize = 1000

// fillWaits sets waiting_since of the tickets that were stored before that column existed. It uses the other columns for a ticket that
// can't be decoded.
func fillWaits(ctx context.Context, tx pgx.Tx) error {
	for last := ""; ; {
		rows, err := tx.Query(ctx, `SELECT ticket_id, coalesce(nullif(create_time, ''), update_time), content FROM ticketsvc.tickets
 WHERE ticket_id > $1 AND NOT erased AND status <> $2 ORDER BY ticket_id LIMIT $3`, last, int32(ticket.StatusClosed), fillSize)
		if err != nil {
			return err
		}
		ids, waits := make([]string, 0, fillSize), make([]string, 0, fillSize)
		var id, since string
		var content pgtype.DriverBytes
		if _, err := pgx.ForEachRow(rows, []any{&id, &since, &content}, func() error {
			if t, err := ticketcodec.UnmarshalTicket(postgresdb.UnescapeText(id), content); err == nil {
				since = t.WaitingSince().SortableText()
			}
			ids, waits = append(ids, id), append(waits, since)
			return nil
		}); err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		last = ids[len(ids)-1]
		if _, err := tx.Exec(ctx, `UPDATE ticketsvc.tickets t SET waiting_since = n.since FROM unnest($1::text[], $2::text[]) AS n (id, since)
 WHERE t.ticket_id = n.id COLLATE "C"`, ids, waits); err != nil {
			return err
		}
	}
}
