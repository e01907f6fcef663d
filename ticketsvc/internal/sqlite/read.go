package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// Get implements [ticket.Store].
func (s *Store) Get(ctx context.Context, ticketID string, budget ticket.MemoryBudget) (ticket.Ticket, error) {
	var content []byte
	err := s.findContent.QueryRowContext(ctx, ticketID).Scan(&content)
	if errors.Is(err, sql.ErrNoRows) {
		return ticket.Ticket{}, ticket.ErrNotFound
	}
	if err != nil {
		return ticket.Ticket{}, mapError(ctx, err)
	}
	if err := budget.Reserve(ticketID, ticketcodec.WeighTicket(content)); err != nil {
		return ticket.Ticket{}, err
	}
	return ticketcodec.UnmarshalTicket(ticketID, content)
}

// BatchGet implements [ticket.Store].
func (s *Store) BatchGet(ctx context.Context, ticketIDs []string, maxBytes int, budget ticket.MemoryBudget,
) (map[string]ticket.Ticket, error) {
	tickets, bytes := make(map[string]ticket.Ticket, len(ticketIDs)), 0
	var noMemory error
	// The ids are looked up in several statements. The transaction makes all of them see the same moment.
	err := s.read(ctx, func(tx *sql.Tx) error {
		return s.findContents.Query(ctx, tx, toAny(ticketIDs), 1, func(rows *sql.Rows) error {
			var id string
			var content sql.RawBytes
			if err := rows.Scan(&id, &content); err != nil {
				return err
			}
			if bytes += len(content); bytes > maxBytes {
				return ticket.ErrTooLargeTogether
			}
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
	err = s.read(ctx, func(tx *sql.Tx) error {
		l := newList(tx, filter, order, after)
		l.maxSorted = s.maxSorted
		if words := filter.Words(); len(words) > 0 {
			page, err = l.search(ctx, &filter, words, limit)
			return err
		}
		return l.read(ctx, page, nil)
	})
	if err != nil {
		return nil, false, err
	}
	return page.Tickets(), page.More(), nil
}

// list is a list of tickets after a position.
type list struct {
	tx *sql.Tx
	// column is the column that orders the list. beyond is the comparison of that column with a time for the tickets that come later in the
	// list.
	column, direction, beyond string
	after                     *ticket.Cursor
	where                     conditions
	// by is the clause that names the index by which SQLite finds the rows. sorted is set if that index is not in the order of the list, so
	// that SQLite has to sort the rows.
	by        string
	sorted    bool
	maxSorted int
}

func newList(tx *sql.Tx, filter ticket.Filter, order ticket.Order, after *ticket.Cursor) list {
	l := list{tx: tx, column: order.Column(), beyond: " > ?", after: after, where: filterConditions(filter)}
	if order.Descending {
		l.direction, l.beyond = " DESC", " < ?"
	}
	index := indexFor(filter, l.column)
	l.by, l.sorted = "INDEXED BY "+index, index != indexOf(l.column)
	return l
}

// read adds the tickets of the list to the page. If scan is not nil, it adds only those that match.
func (l list) read(ctx context.Context, page *ticket.PageBuilder, scan *scanFirst) error {
	orderBy := " ORDER BY " + l.column + l.direction + ", ticket_id"
	if l.after == nil {
		return l.readRows(ctx, page, scan, l.where, orderBy)
	}
	// This is keyset pagination: first the tickets with the cursor's time and a greater id, then those with a time beyond it. A row comparison
	// can't replace the two statements, because the ids ascend even if the times descend. Each statement starts at its first row in an index,
	// even if many tickets have the cursor's time.
	at := l.after.Time.SortableText()
	rest := append(conditions{}, l.where...)
	rest.add(l.column+" = ?", at)
	rest.add("ticket_id > ?", l.after.TicketID)
	if err := l.readRows(ctx, page, scan, rest, " ORDER BY ticket_id"); err != nil || page.More() {
		return err
	}
	later := append(conditions{}, l.where...)
	later.add(l.column+l.beyond, at)
	return l.readRows(ctx, page, scan, later, orderBy)
}

// readRows adds the rows that meet the conditions to the page. If scan is not nil, it adds only those that match. SQLite sorts rows in
// memory, with all columns that a statement reads. So if SQLite has to sort, readRows first reads only the numbers of the rows, and then
// one row after the other.
func (l list) readRows(ctx context.Context, page *ticket.PageBuilder, scan *scanFirst, where conditions, orderBy string) (err error) {
	limit := page.RowLimit()
	if scan != nil {
		limit = maxScanned
	}
	text, args := where.sql()
	from := " FROM tickets " + l.by + text + orderBy + " LIMIT ?"
	args = append(args, limit)
	enough := false
	add := func(rows *sql.Rows) error {
		err := addRow(page, scan, rows)
		enough = errors.Is(err, errEnough)
		return err
	}
	if !l.sorted {
		return forEach(l.tx.QueryContext(ctx, "SELECT ticket_id, content"+from, args...))(add)
	}
	var numbers []int64
	if err := forEach(l.tx.QueryContext(ctx, "SELECT number"+from, args...))(func(rows *sql.Rows) error {
		var number int64
		err := rows.Scan(&number)
		numbers = append(numbers, number)
		return err
	}); err != nil {
		return err
	}
	one, err := l.tx.PrepareContext(ctx, "SELECT ticket_id, content FROM tickets WHERE number = ?")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.Close()) }()
	for _, number := range numbers {
		if err := forEach(one.QueryContext(ctx, number))(add); err != nil || enough {
			return err
		}
	}
	return nil
}

// addRow adds a row to the page. If scan is not nil, it adds only a row that matches. The error is [errEnough] if no further row is needed.
func addRow(page *ticket.PageBuilder, scan *scanFirst, row *sql.Rows) error {
	var id string
	var content sql.RawBytes
	if err := row.Scan(&id, &content); err != nil {
		return err
	}
	weight := ticketcodec.WeighTicket(content)
	fits := func() error {
		if fits, err := page.Fits(id, weight); err != nil || fits {
			return err
		}
		return errEnough
	}
	if scan == nil {
		if err := fits(); err != nil {
			return err
		}
	} else if !scan.goesOn() {
		return errEnough
	}
	t, err := ticketcodec.UnmarshalTicket(id, content)
	if err != nil {
		return err
	}
	if scan != nil {
		if !scan.matches(&t, len(content)) {
			return nil
		}
		if err := fits(); err != nil {
			return err
		}
	}
	page.Add(t)
	return nil
}

// indexFor returns the index that a list uses. Without it SQLite assumes that any condition is met by few tickets, and reads and sorts all
// tickets to find, for example, the open ones.
func indexFor(f ticket.Filter, orderColumn string) string {
	for _, condition := range f.Conditions() {
		if condition.IsSelective() {
			return indexOf(condition.Column)
		}
	}
	return indexOf(orderColumn)
}

// indexOf returns the index that is in the order of a column.
func indexOf(column string) string { return "tickets_by_" + column }

// conditions are conditions on a row. A row must meet all of them.
type conditions []condition

type condition struct {
	text string
	args []any
}

func (c *conditions) add(text string, args ...any) {
	*c = append(*c, condition{text: text, args: args})
}

func (c conditions) sql() (where string, args []any) {
	texts := make([]string, len(c))
	for i, condition := range c {
		texts[i] = condition.text
		args = append(args, condition.args...)
	}
	if len(texts) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(texts, " AND "), args
}

// filterConditions returns the conditions of [ticket.Filter.Matches], except the text.
func filterConditions(f ticket.Filter) conditions {
	var c conditions
	c.add("erased = 0")
	c.addFilter(f, "assigned_to = ''")
	return c
}

// groupConditions returns the conditions on groups, for a filter that selects groups.
func groupConditions(f ticket.Filter) conditions {
	var c conditions
	c.addFilter(f, "unassigned = 1")
	return c
}

// addFilter adds the conditions of a filter, except the text. unassigned is the condition for [ticket.Unassigned].
func (c *conditions) addFilter(f ticket.Filter, unassigned string) {
	for _, condition := range f.Conditions() {
		args := make([]any, len(condition.Values))
		for i, value := range condition.Values {
			if instant, ok := value.(ticket.Instant); ok {
				value = instant.SortableText()
			}
			args[i] = value
		}
		switch {
		case condition.Column == "":
		case condition.Column == ticket.Unassigned:
			c.add(unassigned)
		case condition.Operator == "":
			c.add(condition.Column+" IN ("+strings.TrimSuffix(strings.Repeat("?,", len(args)), ",")+")", args...)
		default:
			c.add(condition.Column+" "+condition.Operator+" ?", args...)
		}
		if condition.IsSelective() {
			// This follows from the values, but SQLite needs the condition to know that the index has all such tickets.
			c.add(condition.Column + " <> ''")
		}
	}
}
