package sqlite

import (
	"context"
	"strings"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	// maxSkimmed is the most tickets that are looked at before those with the words are looked up, and maxSkimmedBytes about how large they
	// are together at the most.
	maxSkimmed      = 2048
	maxSkimmedBytes = 4 << 20
	// maxSorted is the most tickets with the words that are read to put them in order.
	maxSorted = 10_000
)

// search returns the page of the list with those tickets that have the words, which are the filter's.
//
// Where many tickets have them, a few pages of the list have enough. Where few have them, these are found by the index of words, and put
// in order. What is in between, such as words that many tickets have and the first ones of the list have not, takes the numbers of all
// that have them, and goes through the index of the list's order for these.
func (l list) search(ctx context.Context, filter *ticket.Filter, words []string, limit int) (*ticket.PageBuilder, error) {
	page := ticket.NewPageBuilder(limit)
	if err := l.read(ctx, page, &skim{filter: filter}); err != nil || page.More() {
		return page, err
	}
	query := matching(words)
	var found int
	if err := l.tx.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM ticket_words WHERE ticket_words MATCH ? LIMIT ?)",
		query, l.maxSorted+1).Scan(&found); err != nil {
		return nil, err
	}
	if found <= l.maxSorted {
		l.by = "NOT INDEXED" // but by the numbers
	}
	l.where.add("number IN (SELECT rowid FROM ticket_words WHERE ticket_words MATCH ?)", query)
	page = ticket.NewPageBuilder(limit)
	return page, l.read(ctx, page, nil)
}

// matching returns the query that finds tickets with words, which are those of a filter. They hold nothing that means something in it.
func matching(words []string) string {
	return `"` + strings.Join(words, `"* "`) + `"*`
}

// skim is the look at the first tickets of a list for those that match.
type skim struct {
	filter             *ticket.Filter
	seen, found, bytes int
}

// goesOn tells whether it is worth while to look at the next ticket: it is while one in 64 matches.
func (s *skim) goesOn() bool {
	const worthWhile = 64
	return s.seen < min(maxSkimmed, worthWhile*(s.found+1)) && s.bytes < maxSkimmedBytes
}

// matches looks at a ticket, which has that many bytes as it is stored.
func (s *skim) matches(t *ticket.Ticket, bytes int) bool {
	s.seen++
	s.bytes += bytes
	if !s.filter.Matches(t) {
		return false
	}
	s.found++
	return true
}
