package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	addWords = "INSERT INTO ticket_words (rowid, words) VALUES (?, ?)"
	// The index does not know what it has of a ticket: it is told.
	removeWords = "INSERT INTO ticket_words (ticket_words, rowid, words) VALUES ('delete', ?, ?)"
	// showIndex makes what the index holds a table of the connection, in which nothing is kept.
	showIndex = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.shown_ticket_words USING fts5vocab(main, ticket_words, instance)"
)

// writeWords brings the index of words up to date with a ticket that had the words before and now has those after. Each ticket has
// statements of its own: SQLite can undo one with many rows, for which the index is written out in between.
func (s *Store) writeWords(ctx context.Context, tx *sql.Tx, number int64, before, after string) error {
	if before == after {
		return nil
	}
	if before != "" {
		if _, err := tx.StmtContext(ctx, s.removeWords).ExecContext(ctx, number, before); err != nil {
			return err
		}
	}
	if after != "" {
		if _, err := tx.StmtContext(ctx, s.addWords).ExecContext(ctx, number, after); err != nil {
			return err
		}
	}
	return nil
}

// removeWordsOf takes the words of a ticket, if there is one that is not erased, out of the index, and reports whether there is. mergeWords
// has to follow.
func (s *Store) removeWordsOf(tx *sql.Tx, ticketID string) (removed bool, err error) {
	var number int64
	var content []byte
	err = tx.QueryRow("SELECT number, content FROM tickets WHERE ticket_id = ? AND erased = 0", ticketID).Scan(&number, &content)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var words string
	if t, err := ticketcodec.UnmarshalTicket(ticketID, content); err == nil {
		words = t.Words()
	} else if words, err = wordsInIndex(tx, number); err != nil {
		return false, err
	}
	return true, s.writeWords(context.Background(), tx, number, words, "")
}

// The rows that mergeWords adds, which are no ticket's, and their words: of the first one more than a page of the index holds.
const smallRow, largeRow, smallWords = -2, -1, "merged"

var largeWords = func() string {
	var words strings.Builder
	for i := range 1000 {
		_, _ = fmt.Fprintf(&words, "%08x ", i)
	}
	return words.String()
}()

// mergeWords merges all of the index, and drops what is marked as deleted, so that no word is left that an erased ticket had at its end or
// before. That takes the longer the larger the index is, and nothing else is written meanwhile.
//
// FTS5 keeps the marks, with their words, unless it merges into
// the highest level, and that it does for certain where parts of different levels are merged. So all is merged into one part first,
// together with enough for it to be larger than the next part, which FTS5 would otherwise put on one level with that.
func (s *Store) mergeWords(tx *sql.Tx) error {
	for _, row := range []struct {
		number int64
		words  string
	}{{largeRow, largeWords}, {smallRow, smallWords}} {
		if err := s.writeWords(context.Background(), tx, row.number, "", row.words); err != nil {
			return err
		}
		if _, err := tx.Exec("INSERT INTO ticket_words (ticket_words) VALUES ('optimize')"); err != nil {
			return err
		}
	}
	return errors.Join(s.writeWords(context.Background(), tx, smallRow, smallWords, ""),
		s.writeWords(context.Background(), tx, largeRow, largeWords, ""))
}

// wordsInIndex returns the words that the index has of a ticket, for one that can't be read. It looks at all of the index, which takes
// seconds where there are a million tickets, and nothing else is written meanwhile.
func wordsInIndex(tx *sql.Tx, number int64) (words string, err error) {
	if _, err := tx.Exec(showIndex); err != nil {
		return "", err
	}
	err = tx.QueryRow("SELECT coalesce(group_concat(term, ' '), '') FROM temp.shown_ticket_words WHERE doc = ?", number).Scan(&words)
	return words, err
}

// fillBatch is how many tickets that were there before get their words in one transaction.
const fillBatch = 500

// fillWords makes the index of words anew where it was made by other rules than [ticket.WordsVersion], or not at all. Where it is cut off
// it goes on the next time. Nobody else uses the store yet.
func (s *Store) fillWords(ctx context.Context) error {
	if err := s.db.Write(ctx, func(tx *sql.Tx) error { return emptyOldWords(ctx, tx) }); err != nil {
		return err
	}
	for more := true; more; {
		if err := s.db.Write(ctx, func(tx *sql.Tx) (err error) {
			more, err = s.fillSome(ctx, tx)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// emptyOldWords throws away an index that other rules made: what these put into it can't be taken out by what the rules of now say.
func emptyOldWords(ctx context.Context, tx *sql.Tx) error {
	var version string
	if err := tx.QueryRowContext(ctx, "SELECT version FROM words_version").Scan(&version); err != nil || version == ticket.WordsVersion {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO ticket_words (ticket_words) VALUES ('delete-all')"); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE words_version SET version = ?, filled_to = 0", ticket.WordsVersion)
	return err
}

// fillSome does a part of fillWords. more is false when nothing is left to do.
func (s *Store) fillSome(ctx context.Context, tx *sql.Tx) (more bool, err error) {
	var filledTo sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT filled_to FROM words_version").Scan(&filledTo); err != nil || !filledTo.Valid {
		return false, err
	}
	last, err := s.fillBehind(ctx, tx, filledTo.Int64)
	if err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE words_version SET filled_to = ?", last)
	return last.Valid, err
}

// fillBehind gives the tickets behind a number their words. It returns the last one's number, none when there was no ticket.
func (s *Store) fillBehind(ctx context.Context, tx *sql.Tx, number int64) (last sql.NullInt64, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT number, ticket_id, content FROM tickets WHERE number > ? AND erased = 0 ORDER BY number LIMIT ?",
		number, fillBatch)
	if err != nil {
		return last, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		var content sql.RawBytes
		if err := rows.Scan(&last, &id, &content); err != nil {
			return last, err
		}
		t, err := ticketcodec.UnmarshalTicket(id, content)
		if errors.Is(err, ticket.ErrCorrupt) {
			continue
		}
		if err != nil {
			return last, err
		}
		if err := s.writeWords(ctx, tx, last.Int64, "", t.Words()); err != nil {
			return last, err
		}
	}
	return last, rows.Err()
}
