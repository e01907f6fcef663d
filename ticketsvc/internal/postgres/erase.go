package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	// addErased adds the row of a ticket that is not known.
	addErased = `INSERT INTO ticketsvc.tickets (ticket_id, erased, status, app_id, category_id, assigned_to, property_id, create_time,
 update_time, stamps, content) VALUES ($1, true, 0, '', '', '', '', '', '', '', '') ON CONFLICT (ticket_id) DO NOTHING`
	lockErased  = `SELECT erased, status, app_id, category_id, assigned_to = '' FROM ticketsvc.tickets WHERE ticket_id = $1 FOR NO KEY UPDATE`
	eraseTicket = `UPDATE ticketsvc.tickets SET erased = true, status = 0, app_id = '', category_id = '', assigned_to = '', property_id = '',
 create_time = '', update_time = '', waiting_since = '', stamps = '', content = '' WHERE ticket_id = $1`
	eraseEvents = `UPDATE ticketsvc.events SET content = $2, payload = '' WHERE ticket_id = $1`
)

// Erase implements [ticket.Store]. Each ticket has a transaction of its own, so that none is locked while another one is erased.
func (s *Store) Erase(ctx context.Context, ticketIDs ...string) (events int64, err error) {
	defer s.noteRecorded()
	for _, id := range ticketIDs {
		of, err := s.erase(ctx, id)
		if err != nil {
			return 0, translate(err)
		}
		events += of
	}
	return events, nil
}

// erase erases a ticket.
//
// It locks as [Store.Append] does: the ticket first, and the log last. What another replica records for the ticket is either there before
// the ticket is locked, and erased with it, or comes after, and is dropped.
func (s *Store) erase(ctx context.Context, ticketID string) (events int64, err error) {
	id, nothing := postgresdb.EscapeText(ticketID), ticketcodec.MarshalChangedFields(ticket.ChangedFields{})
	err = s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		events = 0
		var added, erased bool
		var group ticket.Group
		first := &pgx.Batch{}
		first.Queue("begin")
		first.Queue(addErased, id).Exec(func(tag pgconn.CommandTag) error {
			added = tag.RowsAffected() > 0
			return nil
		})
		first.Queue(lockErased, id).QueryRow(func(row pgx.Row) error {
			return row.Scan(&erased, &group.Status, &group.AppID, &group.CategoryID, &group.Unassigned)
		})
		if err := conn.SendBatch(ctx, first).Close(); err != nil {
			return err
		}
		group.AppID, group.CategoryID = postgresdb.UnescapeText(group.AppID), postgresdb.UnescapeText(group.CategoryID)
		last := &pgx.Batch{}
		if !erased {
			last.Queue(eraseTicket, id)
			last.Queue(eraseWords, id)
			last.Queue(eraseEvents, id, nothing).Exec(func(tag pgconn.CommandTag) error {
				events = tag.RowsAffected()
				return nil
			})
		}
		erasure := []any{[]*string{nil}, []string{id}, []string{string(ticket.Erased)}, []bool{false}, []string{""}, []string{""},
			[][]byte{nothing}, [][]byte{{}}}
		if added {
			s.queueEvents(last, erasure, nil)
		} else if !erased {
			s.queueEvents(last, erasure, []ticket.GroupChange{{Group: group, Change: -1}})
			// So that the group's ids go too, when it was the last ticket with them.
			last.Queue(foldChanges)
		}
		// An erasure that was there before may not have reached the standbys yet.
		postgresdb.QueueCommit(last, last.Len() > 0)
		return conn.SendBatch(ctx, last).Close()
	})
	return events, err
}
