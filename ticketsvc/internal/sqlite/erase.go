package sqlite

import (
	"context"
	"database/sql"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	// eraseTicket clears the row of a ticket, or adds a cleared row if there is none. It changes nothing if the ticket was erased before.
	eraseTicket = "INSERT INTO tickets (ticket_id, erased, status, app_id, category_id, assigned_to, property_id, create_time, update_time," +
		" stamps, content) VALUES (?, 1, 0, '', '', '', '', '', '', x'', x'') ON CONFLICT (ticket_id) DO UPDATE SET erased = 1, status = 0," +
		" app_id = '', category_id = '', assigned_to = '', property_id = '', create_time = '', update_time = '', waiting_since = ''," +
		" stamps = x'', content = x'' WHERE erased = 0"
	uncountTicket = "UPDATE ticket_counts AS c SET tickets = tickets - 1 FROM tickets AS t WHERE t.ticket_id = ? AND t.erased = 0" +
		" AND c.app_id = t.app_id AND c.category_id = t.category_id AND c.status = t.status AND c.unassigned = (t.assigned_to = '')"
	eraseEvents = "UPDATE events SET content = ?, payload = x'' WHERE ticket_id = ?"
	logErasure  = "INSERT INTO events (sequence, ticket_id, name, full_snapshot, occur_time, receive_time, content, payload, nonce)" +
		" SELECT coalesce(max(sequence), 0) + 1, ?, ?, 0, '', '', ?, x'', random() FROM events"
)

// Erase implements [ticket.Store]. The tickets share a transaction, because merging the index of words once costs as much as one erasure.
func (s *Store) Erase(ctx context.Context, ticketIDs ...string) (events int64, err error) {
	changed := false
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		events, changed = 0, false
		removed := false
		for _, id := range ticketIDs {
			hadWords, err := s.removeWordsOf(tx, id)
			if err != nil {
				return err
			}
			removed = removed || hadWords
			of, erased, err := eraseOne(tx, id)
			if err != nil {
				return err
			}
			events += of
			changed = changed || hadWords || erased
		}
		if changed {
			s.db.PurgeWALLater()
		}
		if removed {
			return s.mergeWords(tx)
		}
		return nil
	})
	if err != nil {
		return 0, mapError(ctx, err)
	}
	if changed {
		s.db.PurgeWAL()
	}
	s.appended.Notify()
	return events, nil
}

// eraseOne erases a ticket, except its words. It returns the number of events whose content was removed. erased is false if the ticket was
// erased before.
func eraseOne(tx *sql.Tx, ticketID string) (events int64, erased bool, err error) {
	nothing := ticketcodec.MarshalChangedFields(ticket.ChangedFields{})
	// This must come before the ticket's row is cleared: a cleared row has no group.
	if _, err := tx.Exec(uncountTicket, ticketID); err != nil {
		return 0, false, err
	}
	if _, err := tx.Exec(dropEmptyCounts); err != nil {
		return 0, false, err
	}
	result, err := tx.Exec(eraseTicket, ticketID)
	if err != nil {
		return 0, false, err
	}
	if changed, err := result.RowsAffected(); err != nil || changed == 0 {
		return 0, false, err
	}
	if result, err = tx.Exec(eraseEvents, nothing, ticketID); err != nil {
		return 0, false, err
	}
	if events, err = result.RowsAffected(); err != nil {
		return 0, false, err
	}
	_, err = tx.Exec(logErasure, ticketID, string(ticket.Erased), nothing)
	return events, true, err
}
