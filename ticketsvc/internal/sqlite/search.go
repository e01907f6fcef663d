package sqlite

import (
	"context"
	"errors"
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
func (l list) search(ctx context.Context, filter *ticket.Filter, words []string, limit ticket.PageLimit) (*ticket.PageBuilder, error) {
	page := ticket.NewPageBuilder(limit)
	// A ticket that can't be read is no reason to fail before it is known to have the words.
	if err := l.read(ctx, page, &skim{matcher: filter.Matcher(), worthWhile: 64}); !errors.Is(err, ticket.ErrCorrupt) &&
		(err != nil || page.More()) {
		return page, err
	}
	query := matching(words)
	var found int
	if err := l.tx.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM ticket_words WHERE ticket_words MATCH ? LIMIT ?)",
		query, l.maxSorted+1).Scan(&found); err != nil {
		return nil, err
	}
	if found <= l.maxSorted {
		l.by, l.sorted = "NOT INDEXED", true // but by the numbers
	}
	l.where.addWords(words)
	page = ticket.NewPageBuilder(limit)
	return page, l.read(ctx, page, nil)
}

// matching returns the query that finds tickets with words, which are those of a filter. They hold nothing that means something in it.
func matching(words []string) string {
	return `"` + strings.Join(words, `"* "`) + `"*`
}

// addWords adds the condition that a ticket has words, which are those of a filter.
func (c *conditions) addWords(words []string) {
	c.add("number IN (SELECT rowid FROM ticket_words WHERE ticket_words MATCH ?)", matching(words))
}

// skim is the look at the first tickets of a list for those that match.
type skim struct {
	matcher ticket.Matcher
	// worthWhile is among how many tickets one is to match: where fewer do, the skim ends.
	worthWhile         int
	seen, found, bytes int
	// last is the ticket that was looked at last, and ended tells that there was another one.
	last  string
	ended bool
}

// goesOn tells whether it is worth while to look at the next ticket.
func (s *skim) goesOn() bool {
	s.ended = s.seen >= min(maxSkimmed, s.worthWhile*(s.found+1)) || s.bytes >= maxSkimmedBytes
	return !s.ended
}

// matches looks at a ticket, which has that many bytes as it is stored.
func (s *skim) matches(t *ticket.Ticket, bytes int) bool {
	s.last = t.ID
	s.seen++
	s.bytes += bytes
	if !s.matcher.Matches(t, t.Words) {
		return false
	}
	s.found++
	return true
}
