package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// The numbers of parameters of one row in the statements that write.
const (
	eventParameters  = 10
	ticketParameters = 12
)

// largeTicketBytes is the maximum stored size of a ticket that a batch reads together with others. Larger tickets are read one by one. 256
// tickets below it take at most 16 MiB.
const largeTicketBytes = 64 << 10

// findTickets finds tickets by their ids. It returns the stored data of those that are not large.
var findTickets = fmt.Sprintf(`SELECT number, ticket_id, erased, length(stamps) + length(content),
 CASE WHEN length(stamps) + length(content) <= %[1]d THEN stamps END, CASE WHEN length(stamps) + length(content) <= %[1]d THEN content END
 FROM tickets WHERE ticket_id IN (`, largeTicketBytes)

// Append implements [ticket.Store].
func (s *Store) Append(ctx context.Context, changes []ticket.Change) ([]ticket.AppendResult, error) {
	merge := ticket.NewMergeBatch(changes)
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		b := batch{store: s, tx: tx, merge: merge}
		return b.run(context.WithoutCancel(ctx))
	})
	if err != nil {
		return nil, mapError(ctx, err)
	}
	s.appended.Notify()
	return merge.Results(), nil
}

// batch records changes in one transaction.
type batch struct {
	store *Store
	tx    *sql.Tx
	merge *ticket.MergeBatch
	// rows are the rows of the loaded tickets.
	rows map[*ticket.State]row
}

// row is the row of a ticket as it was read.
type row struct {
	number int64
	before indexed
}

// indexed are the values of a ticket that have indexes, except its update time, which nearly every event changes.
type indexed struct {
	// These change while somebody works on the ticket.
	group        ticket.Group
	assignedTo   string
	waitingSince ticket.Instant
	// These rarely change.
	propertyID string
	createTime ticket.Instant
}

func indexedOf(t *ticket.Ticket) indexed {
	return indexed{group: t.Group(), assignedTo: t.AssigneeID, waitingSince: t.WaitingSince(), propertyID: t.PropertyID,
		createTime: t.CreateTime}
}

func (b *batch) run(ctx context.Context) error {
	if err := b.findDuplicates(ctx); err != nil {
		return err
	}
	if err := b.readTickets(ctx); err != nil {
		return err
	}
	events, states := b.merge.Merge()
	if err := b.appendEvents(ctx, events); err != nil {
		return err
	}
	if err := b.writeTickets(ctx, states); err != nil {
		return err
	}
	return b.store.count(ctx, b.tx, b.merge.GroupChanges())
}

func (b *batch) findDuplicates(ctx context.Context) error {
	return b.store.findEvents.Query(ctx, b.tx, toAny(b.merge.EventIDs()), 1, func(rows *sql.Rows) error {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		b.merge.MarkLogged(id)
		return nil
	})
}

// readTickets reads the tickets of the new changes, if there is memory for them. If a ticket can't be read, only its own changes fail.
// Large tickets are read one by one after their size is known.
func (b *batch) readTickets(ctx context.Context) error {
	ids := b.merge.TicketIDs()
	b.rows = make(map[*ticket.State]row, len(ids))
	var number int64
	var id string
	var erased bool
	var size int
	var stamps, content sql.RawBytes
	type large struct {
		number int64
		id     string
	}
	var larges []large
	err := b.store.findTickets.Query(ctx, b.tx, toAny(ids), 1, func(rows *sql.Rows) error {
		if err := rows.Scan(&number, &id, &erased, &size, &stamps, &content); err != nil {
			return err
		}
		switch {
		case erased:
			b.merge.MarkErased(id)
		case size <= largeTicketBytes:
			b.load(number, id, content, stamps)
		case b.merge.ReserveMemory(id, size): // By its stored size, so as not to read it in vain. Only b.load knows its size in memory.
			larges = append(larges, large{number: number, id: id})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, l := range larges {
		err := b.store.readTicket.Query(ctx, b.tx, []any{l.number}, 1, func(rows *sql.Rows) error {
			if err := rows.Scan(&stamps, &content); err != nil {
				return err
			}
			b.load(l.number, l.id, content, stamps)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// load loads a stored ticket into the merge batch if there is memory for it.
func (b *batch) load(number int64, id string, content, stamps []byte) {
	if !b.merge.ReserveMemory(id, ticketcodec.StateMemory(content, stamps)) {
		return
	}
	state, err := ticketcodec.UnmarshalState(content, stamps)
	if err != nil {
		b.merge.Fail(id, ticket.DecodeError(id, err))
		return
	}
	b.merge.Load(id, state)
	b.rows[state] = row{number: number, before: indexedOf(&state.Ticket)}
}

func (b *batch) appendEvents(ctx context.Context, events []*ticket.Change) error {
	if len(events) == 0 {
		last, err := scanPosition(b.tx.StmtContext(ctx, b.store.lastPosition).QueryRowContext(ctx))
		if err == nil || errors.Is(err, sql.ErrNoRows) {
			b.merge.SetLogEnd(last)
			return nil
		}
		return err
	}
	var sequence, nonce int64
	if err := b.tx.StmtContext(ctx, b.store.lastSequence).QueryRowContext(ctx).Scan(&sequence); err != nil {
		return err
	}
	rows := make([]any, 0, eventParameters*len(events))
	for _, c := range events {
		sequence++
		nonce = int64(rand.Uint64()) //nolint:gosec // It tells positions of the log apart, and is no secret.
		rows = append(rows, sequence, c.EventID, c.TicketID, string(c.Name), c.FullSnapshot, c.OccurTime.SortableText(),
			c.ReceiveTime.SortableText(), ticketcodec.MarshalChangedFields(c.ChangedFields()), ticketcodec.MarshalValues(c),
			nonce)
	}
	last := events[len(events)-1]
	b.merge.SetLogEnd((&ticket.Event{Sequence: sequence, EventID: last.EventID, TicketID: last.TicketID, Name: last.Name}).Position(nonce))
	_, err := b.store.insertEvents.Exec(ctx, b.tx, nil, rows, eventParameters)
	return err
}

// writeTickets stores the changed tickets. New tickets share statements. Each other ticket has its own statement: this finds the row
// directly by its number, and does not touch indexes whose values are unchanged. SQLite also needs no copy of the changed pages, which it
// makes for a statement that can fail half-way.
func (b *batch) writeTickets(ctx context.Context, states []*ticket.State) error {
	var last int64
	if err := b.tx.StmtContext(ctx, b.store.lastNumber).QueryRowContext(ctx).Scan(&last); err != nil {
		return err
	}
	var added []any
	numbers := make([]int64, len(states))
	for i, state := range states {
		t := &state.Ticket
		content, stamps := ticketcodec.MarshalState(state)
		row, stored := b.rows[state]
		numbers[i] = row.number
		after := indexedOf(t)
		status, updated, waiting := int64(t.Status), t.UpdateTime.SortableText(), after.waitingSince.SortableText()
		var err error
		switch {
		case !stored:
			last++
			numbers[i] = last
			added = append(added, last, t.ID, status, t.AppID, t.CategoryID, t.AssigneeID, t.PropertyID, t.CreateTime.SortableText(), updated,
				waiting, stamps, content)
		case row.before == after:
			_, err = b.tx.StmtContext(ctx, b.store.touchTicket).ExecContext(ctx, updated, stamps, content, row.number)
		case row.before.propertyID == after.propertyID && row.before.createTime == after.createTime:
			_, err = b.tx.StmtContext(ctx, b.store.moveTicket).ExecContext(ctx, status, t.AppID, t.CategoryID, t.AssigneeID, waiting, updated,
				stamps, content, row.number)
		default:
			_, err = b.tx.StmtContext(ctx, b.store.updateTicket).ExecContext(ctx, status, t.AppID, t.CategoryID, t.AssigneeID, waiting, updated,
				stamps, content, t.PropertyID, t.CreateTime.SortableText(), row.number)
		}
		if err != nil {
			return err
		}
	}
	if _, err := b.store.insertTickets.Exec(ctx, b.tx, nil, added, ticketParameters); err != nil {
		return err
	}
	return b.writeWords(ctx, states, numbers)
}

// writeWords updates the index of words for tickets with these row numbers. It writes in the order of the numbers: FTS5 buffers the words
// while the numbers rise. Otherwise FTS5 writes a part of the index each time, which must be merged later.
func (b *batch) writeWords(ctx context.Context, states []*ticket.State, numbers []int64) error {
	order := make([]int, len(states))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(numbers[i], numbers[j]) })
	for _, i := range order {
		before, after := b.merge.Words(states[i].Ticket.ID)
		if err := b.store.writeWords(ctx, b.tx, numbers[i], before, after); err != nil {
			return err
		}
	}
	return nil
}

// toAny returns strings as the arguments of a statement.
func toAny(texts []string) []any {
	args := make([]any, len(texts))
	for i, text := range texts {
		args[i] = text
	}
	return args
}
