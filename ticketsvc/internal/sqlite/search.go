package sqlite

import (
	"context"
	"errors"
	"strings"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	// maxScanned is the maximum number of tickets that are scanned before the index of words is used. maxScannedBytes is their approximate
	// maximum size.
	maxScanned      = 2048
	maxScannedBytes = 4 << 20
	// maxSorted is the maximum number of tickets with the words that are read and sorted.
	maxSorted = 10_000
)

// search returns the page of the list with the tickets that have the words, which are those of the filter.
//
// If many tickets have the words, a scan of the first tickets of the list finds enough of them. If few have the words, the index of words
// finds the tickets, and they are sorted. In all other cases, such as words that many tickets have but not the first ones of the list, the
// search reads the numbers of all tickets with the words, and scans the index of the list's order for these numbers.
func (l list) search(ctx context.Context, filter *ticket.Filter, words []string, limit ticket.PageLimit) (*ticket.PageBuilder, error) {
	page := ticket.NewPageBuilder(limit)
	// A corrupt ticket is no error here: it may not have the words.
	if err := l.read(ctx, page, &scanFirst{matcher: filter.Matcher(), minHitRate: 64}); !errors.Is(err, ticket.ErrCorrupt) &&
		(err != nil || page.More()) {
		return page, err
	}
	query := fullTextQuery(words)
	var found int
	if err := l.tx.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM ticket_words WHERE ticket_words MATCH ? LIMIT ?)",
		query, l.maxSorted+1).Scan(&found); err != nil {
		return nil, err
	}
	if found <= l.maxSorted {
		l.by, l.sorted = "NOT INDEXED", true // SQLite finds the rows by their numbers.
	}
	l.where.addWords(words)
	page = ticket.NewPageBuilder(limit)
	return page, l.read(ctx, page, nil)
}

// fullTextQuery returns the query that finds tickets with words, which are those of a filter. Such words have no characters with a meaning
// in the query.
func fullTextQuery(words []string) string {
	return `"` + strings.Join(words, `"* "`) + `"*`
}

// addWords adds the condition that a ticket has words, which are those of a filter.
func (c *conditions) addWords(words []string) {
	c.add("number IN (SELECT rowid FROM ticket_words WHERE ticket_words MATCH ?)", fullTextQuery(words))
}

// scanFirst scans the first tickets of a list for those that match, as long as enough of them do. If many match, the scan is faster than
// the index of words.
type scanFirst struct {
	matcher ticket.Matcher
	// minHitRate is the number of tickets of which at least one has to match. If fewer match, the scan ends.
	minHitRate         int
	seen, found, bytes int
	// last is the last scanned ticket. ended is set if the scan ended before the list did.
	last  string
	ended bool
}

// goesOn reports whether to scan the next ticket.
func (s *scanFirst) goesOn() bool {
	s.ended = s.seen >= min(maxScanned, s.minHitRate*(s.found+1)) || s.bytes >= maxScannedBytes
	return !s.ended
}

// matches reports whether a ticket matches. bytes is its stored size.
func (s *scanFirst) matches(t *ticket.Ticket, bytes int) bool {
	s.last = t.ID
	s.seen++
	s.bytes += bytes
	if !s.matcher.Matches(t, t.Words) {
		return false
	}
	s.found++
	return true
}
