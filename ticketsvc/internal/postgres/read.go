package postgres

import (
	"cmp"
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// Get implements [ticket.Store].
func (s *Store) Get(ctx context.Context, ticketID string, budget ticket.MemoryBudget) (ticket.Ticket, error) {
	var content []byte
	err := s.query(ctx, func(q postgresdb.Querier) error {
		return q.QueryRow(ctx, "SELECT content FROM ticketsvc.tickets WHERE ticket_id = $1 AND NOT erased",
			postgresdb.EscapeText(ticketID)).Scan(&content)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return ticket.Ticket{}, ticket.ErrNotFound
	}
	if err != nil {
		return ticket.Ticket{}, err
	}
	if err := budget.Reserve(ticketID, ticketcodec.WeighTicket(content)); err != nil {
		return ticket.Ticket{}, err
	}
	return ticketcodec.UnmarshalTicket(ticketID, content)
}

const batchGet = `SELECT ticket_id, CASE WHEN sum(octet_length(content)) OVER () <= $2 THEN content END FROM ticketsvc.tickets
 WHERE ticket_id = ANY($1) AND NOT erased`

// BatchGet implements [ticket.Store].
func (s *Store) BatchGet(ctx context.Context, ticketIDs []string, maxBytes int, budget ticket.MemoryBudget,
) (tickets map[string]ticket.Ticket, err error) {
	var noMemory error
	// A single statement sees the database at one moment. It leaves out the contents if they are too large together: see [errPageFull].
	err = s.queryLong(ctx, func(q postgresdb.Querier) error {
		tickets, noMemory = make(map[string]ticket.Ticket, len(ticketIDs)), nil
		rows, err := q.Query(ctx, batchGet, escaped(ticketIDs), maxBytes)
		if err != nil {
			return err
		}
		var id string
		var content pgtype.DriverBytes
		_, err = pgx.ForEachRow(rows, []any{&id, &content}, func() error {
			if content == nil {
				return ticket.ErrTooLargeTogether
			}
			id := postgresdb.UnescapeText(id)
			if err := budget.Reserve(id, ticketcodec.WeighTicket(content)); err != nil {
				noMemory = err
			}
			if noMemory != nil {
				return nil //nolint:nilerr // It is returned once all rows are counted.
			}
			t, err := ticketcodec.UnmarshalTicket(id, content)
			tickets[id] = t
			return err
		})
		return err
	})
	if err := cmp.Or(err, noMemory); err != nil {
		return nil, err
	}
	return tickets, nil
}

// List implements [ticket.Store].
func (s *Store) List(ctx context.Context, filter ticket.Filter, order ticket.Order, after *ticket.Cursor, limit ticket.PageLimit,
) (tickets []ticket.Ticket, more bool, err error) {
	page := ticket.NewPageBuilder(limit)
	err = s.readLong(ctx, func(tx pgx.Tx) error {
		l := newList(filter, order, after)
		if len(l.words) > 0 {
			page, err = l.search(ctx, tx, limit)
			return err
		}
		return l.read(ctx, tx, page)
	})
	if err != nil {
		return nil, false, err
	}
	return page.Tickets(), page.More(), nil
}

// list is a list of tickets after a position.
type list struct {
	filter ticket.Filter
	// words are those of the filter's text. plan is the way to find the tickets that have them.
	words []string
	plan  plan
	// column is the column that orders the list. beyond is the comparison of that column with a time for the tickets that come later in the
	// list.
	column, direction, beyond string
	after                     *ticket.Cursor
}

func newList(filter ticket.Filter, order ticket.Order, after *ticket.Cursor) list {
	l := list{filter: filter, words: filter.Words(), column: order.Column(), beyond: " > ", after: after}
	if order.Descending {
		l.direction, l.beyond = " DESC", " < "
	}
	return l
}

// read adds the tickets of the list to the page.
func (l list) read(ctx context.Context, tx pgx.Tx, page *ticket.PageBuilder) error {
	orderBy := " ORDER BY " + l.column + l.direction + ", ticket_id"
	if l.after == nil {
		return l.readRows(ctx, tx, page, filterConditions(l.filter), orderBy)
	}
	// This is keyset pagination: first the tickets with the cursor's time and a greater id, then those with a time beyond it. A row comparison
	// can't replace the two statements, because the ids ascend even if the times descend. Each statement starts at its first row in an index,
	// even if many tickets have the cursor's time.
	at := l.after.Time.SortableText()
	rest := filterConditions(l.filter)
	rest.add(l.column+" = ", at)
	rest.add("ticket_id > ", postgresdb.EscapeText(l.after.TicketID))
	if err := l.readRows(ctx, tx, page, rest, " ORDER BY ticket_id"); err != nil || page.More() {
		return err
	}
	if l.plan == scanningFirst {
		if over, err := hasMoreThanScanned(ctx, tx, rest); err != nil || over {
			return err
		}
	}
	later := filterConditions(l.filter)
	later.add(l.column+l.beyond, at)
	return l.readRows(ctx, tx, page, later, orderBy)
}

// errPageFull ends the read of rows when the page has no room for the next one. The server sends all selected rows, even if they are not
// read. So each statement itself leaves out rows, or their contents, beyond the size of a page.
var errPageFull = errors.New("the page is full")

// readRows adds rows to a page.
func (l list) readRows(ctx context.Context, tx pgx.Tx, page *ticket.PageBuilder, where conditions, orderBy string) error {
	statement, arguments := l.statement(where, orderBy, page)
	rows, err := tx.Query(ctx, statement, arguments...)
	if err != nil {
		return err
	}
	var id string
	var size int
	var content pgtype.DriverBytes
	if _, err := pgx.ForEachRow(rows, []any{&id, &size, &content}, func() error {
		fits, err := page.Fits(postgresdb.UnescapeText(id), ticket.Weight{Bytes: size, Elements: ticketcodec.WeighTicket(content).Elements})
		if err != nil {
			return err
		}
		if !fits {
			return errPageFull
		}
		t, err := ticketcodec.UnmarshalTicket(postgresdb.UnescapeText(id), content)
		page.Add(t)
		return err
	}); err != nil && !errors.Is(err, errPageFull) {
		return err
	}
	return nil
}

// statement returns the query of the rows for which the page has room. The query leaves out the contents of the rows beyond the size of a
// page: see [errPageFull].
//
// Each subquery repeats the order, because the order of a subquery does not determine that of the query around it.
func (l list) statement(where conditions, orderBy string, page *ticket.PageBuilder) (statement string, arguments []any) {
	if l.plan != inOrder {
		where.texts = []string{l.candidates(&where, orderBy, page.RowLimit())}
	}
	statement = "SELECT ticket_id, size, CASE WHEN before <= " + where.bind(page.MaxBytes()) + " THEN content END FROM (" +
		"SELECT ticket_id, create_time, update_time, content, size, sum(size) OVER (" + orderBy + " ROWS UNBOUNDED PRECEDING) - size AS before" +
		" FROM (SELECT ticket_id, create_time, update_time, content, octet_length(content) AS size FROM ticketsvc.tickets" + where.sql() +
		orderBy + " LIMIT " + where.bind(page.RowLimit()) + ") AS page) AS measured" + orderBy
	return statement, where.arguments
}
