package postgres

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// maxScanned is the maximum number of tickets that are scanned before the index of words is used.
const maxScanned = 1000

// plan is the way to find the tickets of a page among those that meet the other conditions.
type plan int

const (
	// inOrder reads all tickets in the order of the list, whatever words they have.
	inOrder plan = iota
	// scanningFirst scans the first maxScanned tickets for the words.
	scanningFirst
	// byWords finds the tickets by the index of words.
	byWords
)

// search returns the page of the list with the tickets that have the words of the list's filter.
//
// If many tickets have the words, a scan of the first tickets of the list finds enough of them. Otherwise all tickets with the words are
// found by the index, and sorted. PostgreSQL's own plan would depend on its estimate of the number of tickets that have all words. That
// estimate can be wrong by any factor.
func (l list) search(ctx context.Context, tx pgx.Tx, limit ticket.PageLimit) (*ticket.PageBuilder, error) {
	page := ticket.NewPageBuilder(limit)
	l.plan = scanningFirst
	if err := l.read(ctx, tx, page); err != nil || page.More() {
		return page, err
	}
	page = ticket.NewPageBuilder(limit)
	l.plan = byWords
	return page, l.read(ctx, tx, page)
}

// hasMoreThanScanned reports whether more than maxScanned tickets meet the conditions.
func hasMoreThanScanned(ctx context.Context, tx pgx.Tx, where conditions) (over bool, err error) {
	statement := "SELECT EXISTS (SELECT FROM ticketsvc.tickets" + where.sql() + " OFFSET " + where.bind(maxScanned) + ")"
	err = tx.QueryRow(ctx, statement, where.arguments...).Scan(&over)
	return over, err
}

// fullTextQuery returns the query that finds tickets with words, which are those of a filter. Such words have no characters with a meaning
// in the query.
func fullTextQuery(words []string) string {
	return "'" + strings.Join(words, "':* & '") + "':*"
}

// candidates returns the condition that a ticket is one of the first tickets that have the words and meet the other conditions.
func (l list) candidates(where *conditions, orderBy string, limit int) string {
	query := where.bindWords(l.words)
	first := orderBy + " LIMIT " + where.bind(limit)
	if l.plan == scanningFirst {
		return "ticket_id = ANY(ARRAY(SELECT ticket_id FROM (SELECT ticket_id, create_time, update_time FROM ticketsvc.tickets" + where.sql() +
			orderBy + " LIMIT " + where.bind(maxScanned) + ") AS s WHERE " + rowHas("s", query) + first + "))"
	}
	// MATERIALIZED keeps the order from influencing how the tickets are found.
	return "ticket_id = ANY(ARRAY(WITH found AS MATERIALIZED (SELECT ticket_id, create_time, update_time FROM ticketsvc.tickets" +
		where.sql() + " AND " + isFoundBy(query) + ")" +
		" SELECT ticket_id FROM found" + first + "))"
}

// bindWords adds words, which are those of a filter, to the arguments, and returns the expression of the query that finds them.
func (c *conditions) bindWords(words []string) string {
	return c.bind(fullTextQuery(words)) + "::text::tsquery"
}

// isFoundBy returns the condition that a ticket has the words of a query, for the index of words.
func isFoundBy(query string) string {
	return "ticket_id IN (SELECT ticket_id FROM ticketsvc.ticket_words WHERE words @@ " + query + ")"
}

// rowHas returns the condition that the ticket of a row of table has the words of a query. The words are checked row by row.
func rowHas(table, query string) string {
	return "(SELECT w.words @@ " + query + " FROM ticketsvc.ticket_words AS w WHERE w.ticket_id = " + table + ".ticket_id)"
}
