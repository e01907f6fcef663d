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
	// addErased adds the row of an unknown ticket.
	addErased = `INSERT INTO ticketsvc.tickets (ticket_id, erased, status, app_id, category_id, assigned_to, property_id, create_time,
 update_time, stamps, content) VALUES ($1, true, 0, '', '', '', '', '', '', '', '') ON CONFLICT (ticket_id) DO NOTHING`
	lockErased  = `SELECT erased, status, app_id, category_id, assigned_to = '' FROM ticketsvc.tickets WHERE ticket_id = $1 FOR NO KEY UPDATE`
	eraseTicket = `UPDATE ticketsvc.tickets SET erased = true, status = 0, app_id = '', category_id = '', assigned_to = '', property_id = '',
 create_time = '', update_time = '', waiting_since = '', stamps = '', content = '' WHERE ticket_id = $1`
	eraseEvents = `UPDATE ticketsvc.events SET content = $2, payload = '' WHERE ticket_id = $1`
)

// Erase implements [ticket.Store]. Each ticket has its own transaction, so that no ticket is locked while another one is erased.
func (s *Store) Erase(ctx context.Context, ticketIDs ...string) (events int64, err error) {
	defer s.notify()
	for _, id := range ticketIDs {
		of, err := s.erase(ctx, id)
		if err != nil {
			return 0, mapError(err)
		}
		events += of
	}
	return events, nil
}

// erase erases a ticket.
//
// It locks like [Store.Append]: the ticket first, and the log last. An event of the ticket that another replica records is either recorded
// before the ticket is locked, and erased with it, or it comes later, and is dropped.
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
			// If the ticket was the last one of its group, this usually removes the ids of the group too. If another transaction rolls
			// up counts at the moment, a later one does.
			last.Queue(rollUpCounts)
		}
		// If the ticket was erased before, the commit still waits for the standbys: the erasure may not have reached them yet.
		postgresdb.QueueCommit(last, last.Len() > 0)
		return conn.SendBatch(ctx, last).Close()
	})
	return events, err
}
