package sqlite

import (
	"context"
	"database/sql"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
)

// The parameters of one row of each statement that writes.
const (
	eventParameters  = 9
	ticketParameters = 10
)

// Record implements [ticket.Store].
func (s *Store) Record(ctx context.Context, changes []ticket.Change) ([]ticket.Recorded, error) {
	recorded := make([]ticket.Recorded, len(changes))
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		b := batch{store: s, tx: tx, changes: changes, recorded: recorded}
		return b.record(context.WithoutCancel(ctx))
	})
	if err != nil {
		return nil, translate(ctx, err)
	}
	return recorded, nil
}

// batch is the recording of some changes in one transaction.
type batch struct {
	store    *Store
	tx       *sql.Tx
	changes  []ticket.Change
	recorded []ticket.Recorded

	// tickets are those that the new changes are about, by id, and order is the order in which the changes name them first.
	tickets map[string]*merge
	order   []*merge
}

// merge is one ticket that gets changes. Several changes of it take one reading and one writing.
type merge struct {
	// number is the ticket's row; 0 while it has none.
	number int64
	// before is the ticket as its row has it, as far as that has indexes.
	before indexed
	record *ticket.Record
	// err says why the ticket can't be read.
	err error
}

// indexed are the values of a ticket that have indexes, apart from its update time, which nearly every event changes.
type indexed struct {
	assignedTo, propertyID string
	createTime             ticket.Instant
}

func indexedOf(t *ticket.Ticket) indexed {
	return indexed{assignedTo: t.AssignedTo, propertyID: t.PropertyID, createTime: t.CreateTime}
}

func (b *batch) record(ctx context.Context) error {
	if err := b.findDuplicates(ctx); err != nil {
		return err
	}
	if err := b.readTickets(ctx); err != nil {
		return err
	}
	if err := b.appendEvents(ctx); err != nil {
		return err
	}
	return b.writeTickets(ctx)
}

// findDuplicates marks the changes whose events are in the log, or come earlier in the batch.
func (b *batch) findDuplicates(ctx context.Context) error {
	seen := make(map[string]bool, len(b.changes))
	ids := make([]any, 0, len(b.changes))
	for i := range b.changes {
		id := b.changes[i].EventID
		b.recorded[i].Duplicate = seen[id]
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	logged := map[string]bool{}
	err := b.store.findEvents.Query(ctx, b.tx, ids, 1, func(rows *sql.Rows) error {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		logged[id] = true
		return nil
	})
	if err != nil || len(logged) == 0 {
		return err
	}
	for i := range b.changes {
		if logged[b.changes[i].EventID] {
			b.recorded[i].Duplicate = true
		}
	}
	return nil
}

// readTickets reads the tickets that the new changes are about. One that can't be read fails its own changes alone.
func (b *batch) readTickets(ctx context.Context) error {
	b.tickets = make(map[string]*merge, len(b.changes))
	ids := make([]any, 0, len(b.changes))
	for i := range b.changes {
		id := b.changes[i].TicketID
		if b.recorded[i].Duplicate || b.tickets[id] != nil {
			continue
		}
		m := &merge{}
		b.tickets[id] = m
		b.order = append(b.order, m)
		ids = append(ids, id)
	}
	var row struct {
		number          int64
		id              string
		stamps, content sql.RawBytes
	}
	if err := b.store.findRecords.Query(ctx, b.tx, ids, 1, func(rows *sql.Rows) error {
		if err := rows.Scan(&row.number, &row.id, &row.stamps, &row.content); err != nil {
			return err
		}
		m := b.tickets[row.id]
		if m.record, m.err = ticketpb.UnmarshalRecord(row.content, row.stamps); m.err != nil {
			m.err = corrupt(row.id, m.err)
			return nil
		}
		m.number, m.before = row.number, indexedOf(&m.record.Ticket)
		return nil
	}); err != nil {
		return err
	}
	for i, id := range ids {
		if m := b.order[i]; m.record == nil && m.err == nil {
			m.record = ticket.NewRecord(id.(string))
		}
	}
	return nil
}

// appendEvents merges the new changes into their tickets, and adds their events to the log.
func (b *batch) appendEvents(ctx context.Context) error {
	var sequence int64
	if err := b.tx.StmtContext(ctx, b.store.lastSequence).QueryRowContext(ctx).Scan(&sequence); err != nil {
		return err
	}
	rows := make([]any, 0, eventParameters*len(b.changes))
	failed := map[string]error{}
	for i := range b.changes {
		c := &b.changes[i]
		if b.recorded[i].Duplicate {
			// The duplicate of an event that could not be recorded is none.
			if err := failed[c.EventID]; err != nil {
				b.recorded[i] = ticket.Recorded{Err: err}
			}
			continue
		}
		m := b.tickets[c.TicketID]
		if m.err != nil {
			failed[c.EventID] = m.err
			b.recorded[i].Err = m.err
			continue
		}
		m.record.Apply(c)
		sequence++
		rows = append(rows, sequence, c.EventID, c.TicketID, string(c.Name), c.FullSnapshot, c.OccurTime.SortableText(),
			c.ReceiveTime.SortableText(), ticketpb.MarshalContent(c.Content()), ticketpb.MarshalValues(c))
	}
	_, err := b.store.insertEvents.Exec(ctx, b.tx, nil, rows, eventParameters)
	return err
}

// writeTickets stores the tickets that changed. New ones share statements. The others have one each: by the number of its row it finds
// that at once, it leaves alone the indexes whose values are the same, and SQLite needs no copy of the pages that it changes, as it
// does for a statement that can fail half-way.
func (b *batch) writeTickets(ctx context.Context) error {
	var added []any
	for _, m := range b.order {
		if m.err != nil {
			continue
		}
		t := &m.record.Ticket
		content, stamps := ticketpb.MarshalRecord(m.record)
		var err error
		switch {
		case m.number == 0:
			added = append(added, t.ID, int64(t.Status), t.AppID, t.CategoryID, t.AssignedTo, t.PropertyID,
				t.CreateTime.SortableText(), t.UpdateTime.SortableText(), stamps, content)
		case m.before == indexedOf(t):
			_, err = b.tx.StmtContext(ctx, b.store.touchTicket).ExecContext(ctx, int64(t.Status), t.AppID, t.CategoryID,
				t.UpdateTime.SortableText(), stamps, content, m.number)
		default:
			_, err = b.tx.StmtContext(ctx, b.store.updateTicket).ExecContext(ctx, int64(t.Status), t.AppID, t.CategoryID, t.AssignedTo,
				t.PropertyID, t.CreateTime.SortableText(), t.UpdateTime.SortableText(), stamps, content, m.number)
		}
		if err != nil {
			return err
		}
	}
	_, err := b.store.insertTickets.Exec(ctx, b.tx, nil, added, ticketParameters)
	return err
}
