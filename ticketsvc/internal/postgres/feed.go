package postgres

import (
	"context"
	"errors"
	"fmt"
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

	// readLogOf reads entries. The first entry of each ticket has the ticket. A single statement sees the database at one moment. It leaves
	// out the rows beyond the size of a page: see [errPageFull].
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

	// snapshotStride is the number of tickets that a part of a snapshot reads. That takes some milliseconds.
	snapshotStride = 2000
	snapshotBound  = "SELECT ticket_id FROM ticketsvc.tickets WHERE ticket_id > $1 ORDER BY ticket_id LIMIT 1 OFFSET $2 - 1"
)

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
