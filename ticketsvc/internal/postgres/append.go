package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	// A replica holds a ticket for little longer than it waits for the log and the disk. After 1 s the holder may be somebody who holds the
	// ticket for minutes, such as a person with psql. So if the retry waits in vain too, the batch continues without that ticket. Nothing can
	// be recorded without the lock of the log, so the wait for it is the 4 s of all sessions: more than the 3 s after which a session counts
	// as stuck and is terminated, and short enough for two waits within the 10 s of [postgresdb.DB.Write].
	ticketLockTimeout = `SET LOCAL lock_timeout = '1s'`
	logLockTimeout    = `SET LOCAL lock_timeout = '4s'`

	// maxStoredBytes is the maximum stored size of the tickets that [lockTickets] returns together. It only bounds what the server sends.
	// [ticket.MergeBatch.ReserveMemory] decides which tickets are loaded, by their size in memory, which is never smaller.
	maxStoredBytes = ticket.MaxLoadedBytes

	// The rows are locked in the order of their ids, which is the same in every transaction. The stored data of a ticket is returned if the
	// data of this ticket and of all tickets before it has at most $3 bytes together. The data of the ticket $2 is always returned.
	lockTickets     = lockTicketsBegin + lockTicketsEnd
	lockFreeTickets = lockTicketsBegin + ` SKIP LOCKED` + lockTicketsEnd

	lockTicketsBegin = `SELECT ticket_id, erased, fits, CASE WHEN fits THEN stamps END, CASE WHEN fits THEN content END FROM
 (SELECT ticket_id, erased, stamps, content, ticket_id = $2 OR
  sum(octet_length(stamps) + octet_length(content)) OVER (ORDER BY ticket_id ROWS UNBOUNDED PRECEDING) <= $3 AS fits FROM
  (SELECT ticket_id, erased, stamps, content FROM ticketsvc.tickets WHERE ticket_id = ANY($1) ORDER BY ticket_id FOR NO KEY UPDATE`
	lockTicketsEnd = `) AS locked) AS weighed`

	findTickets = `SELECT ticket_id FROM ticketsvc.tickets WHERE ticket_id = ANY($1)`
	findEvents  = `SELECT event_id FROM ticketsvc.events WHERE event_id = ANY($1)`

	ticketRows = `unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[],
 $10::bytea[], $11::text[]) AS n (ticket_id, status, app_id, category_id, assigned_to, property_id, create_time, update_time, stamps,
 content, waiting_since)`
	insertTickets = `INSERT INTO ticketsvc.tickets (ticket_id, status, app_id, category_id, assigned_to, property_id, create_time,
 update_time, stamps, content, waiting_since) SELECT n.ticket_id, n.status, n.app_id, n.category_id, n.assigned_to, n.property_id,
 n.create_time, n.update_time, n.stamps, n.content, n.waiting_since FROM ` + ticketRows + ` ORDER BY n.ticket_id COLLATE "C"`
	updateTickets = `UPDATE ticketsvc.tickets t SET status = n.status, app_id = n.app_id, category_id = n.category_id,
 assigned_to = n.assigned_to, property_id = n.property_id, create_time = n.create_time, update_time = n.update_time, stamps = n.stamps,
 content = n.content, waiting_since = n.waiting_since FROM ` + ticketRows + ` WHERE t.ticket_id = n.ticket_id COLLATE "C"`
)

// Append implements [ticket.Store].
//
// It makes two round trips to the server. The first locks the tickets that exist. The second adds the new tickets, updates the others,
// numbers and adds the events, and commits. The log is locked as late as possible, and after that lock the transaction waits only for its
// commit: for the disk and for synchronous standbys.
//
// There are no deadlocks: first the existing tickets are locked in the order of their ids, then the new tickets are added in that order,
// and then the log is locked. If another transaction adds one of the tickets or one of the events in between, this is a unique violation,
// and the transaction is retried from the beginning.
func (s *Store) Append(ctx context.Context, changes []ticket.Change) ([]ticket.AppendResult, error) {
	results, err := s.append(ctx, changes, false)
	if postgresdb.IsLockTimeout(err) {
		// Somebody who holds a ticket for so long, such as a person with psql, must delay only the events of that ticket.
		results, err = s.append(ctx, changes, true)
	}
	if err != nil {
		return nil, mapError(err)
	}
	s.notify()
	return results, nil
}

// append does the work of Append. If skipLocked is set, the changes of tickets that another session has locked fail, each with
// [ticket.ErrLocked]. Otherwise all changes fail together.
func (s *Store) append(ctx context.Context, changes []ticket.Change, skipLocked bool) (results []ticket.AppendResult, err error) {
	// The first batch rolls up counts too: otherwise a replica that always stops early would never do so.
	rollUp := s.batches.Add(1)%rollUpEvery == 1
	err = s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		merge := ticket.NewMergeBatch(changes)
		stored, err := prepare(ctx, conn, merge, skipLocked)
		if err != nil {
			return err
		}
		err = s.write(ctx, conn, stored, merge, rollUp)
		results = merge.Results()
		return err
	})
	return results, err
}

// prepare begins the transaction, locks the tickets of the changes, and loads those that are needed. It returns the ids of the tickets that
// exist.
func prepare(ctx context.Context, conn *pgx.Conn, merge *ticket.MergeBatch, skipLocked bool) (stored map[string]bool, err error) {
	type row struct {
		id              string
		erased, fits    bool
		stamps, content []byte
	}
	var rows []row
	ids := escaped(merge.TicketIDs())
	batch := &pgx.Batch{}
	batch.Queue("begin")
	lock := lockTickets
	if skipLocked {
		lock = lockFreeTickets
	}
	batch.Queue(ticketLockTimeout)
	batch.Queue(lock, ids, postgresdb.EscapeText(merge.FirstTicketID()), maxStoredBytes).Query(func(r pgx.Rows) error {
		rows, err = pgx.CollectRows(r, func(r pgx.CollectableRow) (row row, err error) {
			err = r.Scan(&row.id, &row.erased, &row.fits, &row.stamps, &row.content)
			return row, err
		})
		return err
	})
	// This comes after the locks, so that it sees all events that were recorded for these tickets before.
	batch.Queue(findEvents, escaped(merge.EventIDs())).Query(func(r pgx.Rows) error {
		var id string
		_, err := pgx.ForEachRow(r, []any{&id}, func() error {
			merge.MarkLogged(postgresdb.UnescapeText(id))
			return nil
		})
		return err
	})
	var existing []string
	if skipLocked {
		batch.Queue(findTickets, ids).Query(func(r pgx.Rows) error {
			existing, err = pgx.CollectRows(r, pgx.RowTo[string])
			return err
		})
	}
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, err
	}
	stored = make(map[string]bool, len(rows))
	for _, row := range rows {
		id := postgresdb.UnescapeText(row.id)
		stored[id] = true
		if !merge.Needs(id) {
			continue
		}
		switch {
		case row.erased:
			merge.MarkErased(id)
		case !row.fits:
			merge.Defer(id)
		case merge.ReserveMemory(id, ticketcodec.StateMemory(row.content, row.stamps)):
			if state, err := ticketcodec.UnmarshalState(row.content, row.stamps); err == nil {
				merge.Load(id, state)
			} else {
				merge.Fail(id, ticket.DecodeError(id, err))
			}
		}
	}
	for _, column := range existing {
		if id := postgresdb.UnescapeText(column); !stored[id] {
			merge.Fail(id, fmt.Errorf("%w: %q", ticket.ErrLocked, id))
		}
	}
	return stored, nil
}

// write writes the new and changed tickets and their changed words, adds the events to the log, and commits. If no event is new, the commit
// still waits for the standbys: the logged events may not have reached them yet.
func (s *Store) write(ctx context.Context, conn *pgx.Conn, stored map[string]bool, merge *ticket.MergeBatch, rollUp bool) error {
	events, states := merge.Merge()
	var added, changed ticketColumns
	var words wordColumns
	for _, state := range states {
		if stored[state.Ticket.ID] {
			changed.add(state)
		} else {
			added.add(state)
		}
		if before, after := merge.Words(state.Ticket.ID); before != after {
			words.add(state.Ticket.ID, after)
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(logLockTimeout)
	if len(added.ids) > 0 {
		batch.Queue(insertTickets, added.arguments()...)
	}
	if len(changed.ids) > 0 {
		batch.Queue(updateTickets, changed.arguments()...)
	}
	if len(words.ids) > 0 {
		batch.Queue(writeWords, words.ids, words.words)
	}
	if rollUp {
		batch.Queue(rollUpCounts)
	}
	if len(events) > 0 {
		s.queueEvents(batch, eventArguments(events), merge.GroupChanges())
	}
	// If there are new events, the log is locked. For a batch of duplicates only, the last position is at least that of the events that were
	// found.
	batch.Queue(lastPosition).QueryRow(func(row pgx.Row) error {
		last, err := scanPosition(row)
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
		}
		merge.SetLogEnd(last)
		return err
	})
	postgresdb.QueueCommit(batch, len(events) > 0)
	return conn.SendBatch(ctx, batch).Close()
}

// ticketColumns are rows of tickets, column by column.
type ticketColumns struct {
	ids                                                                   []string
	statuses                                                              []int32
	appIDs, categoryIDs, assignees, propertyIDs, createTimes, updateTimes []string
	stamps, contents                                                      [][]byte
	waits                                                                 []string
}

func (c *ticketColumns) add(state *ticket.State) {
	t := &state.Ticket
	content, stamps := ticketcodec.MarshalState(state)
	c.ids = append(c.ids, postgresdb.EscapeText(t.ID))
	c.statuses = append(c.statuses, int32(t.Status))
	c.appIDs = append(c.appIDs, filterable(t.AppID))
	c.categoryIDs = append(c.categoryIDs, filterable(t.CategoryID))
	c.assignees = append(c.assignees, filterable(t.AssigneeID))
	c.propertyIDs = append(c.propertyIDs, filterable(t.PropertyID))
	c.createTimes = append(c.createTimes, t.CreateTime.SortableText())
	c.updateTimes = append(c.updateTimes, t.UpdateTime.SortableText())
	c.stamps = append(c.stamps, stamps)
	c.contents = append(c.contents, content)
	c.waits = append(c.waits, t.WaitingSince().SortableText())
}

func (c *ticketColumns) arguments() []any {
	return []any{c.ids, c.statuses, c.appIDs, c.categoryIDs, c.assignees, c.propertyIDs, c.createTimes, c.updateTimes,
		c.stamps, c.contents, c.waits}
}

// eventArguments returns rows of events, column by column.
func eventArguments(events []*ticket.Change) []any {
	n := len(events)
	eventIDs, ticketIDs, names := make([]string, n), make([]string, n), make([]string, n)
	occurTimes, receiveTimes := make([]string, n), make([]string, n)
	fullSnapshots := make([]bool, n)
	contents, payloads := make([][]byte, n), make([][]byte, n)
	for i, c := range events {
		eventIDs[i], ticketIDs[i] = postgresdb.EscapeText(c.EventID), postgresdb.EscapeText(c.TicketID)
		names[i], fullSnapshots[i] = string(c.Name), c.FullSnapshot
		occurTimes[i], receiveTimes[i] = c.OccurTime.SortableText(), c.ReceiveTime.SortableText()
		contents[i], payloads[i] = ticketcodec.MarshalChangedFields(c.ChangedFields()), ticketcodec.MarshalValues(c)
	}
	return []any{eventIDs, ticketIDs, names, fullSnapshots, occurTimes, receiveTimes, contents, payloads}
}

// escaped returns strings as columns store them.
func escaped(texts []string) []string {
	columns := make([]string, len(texts))
	for i, text := range texts {
		columns[i] = postgresdb.EscapeText(text)
	}
	return columns
}
