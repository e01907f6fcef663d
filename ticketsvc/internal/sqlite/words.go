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
	// The index does not store which words a ticket has, so the statement must give the words to remove.
	removeWords = "INSERT INTO ticket_words (ticket_words, rowid, words) VALUES ('delete', ?, ?)"
	// showIndex creates a virtual table of the connection that shows the content of the index. It stores nothing.
	showIndex = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.shown_ticket_words USING fts5vocab(main, ticket_words, instance)"
)

// writeWords updates the index of words for a ticket whose words were before and are now after. Each ticket has its own statements: SQLite
// must be able to undo a statement with many rows, and would write out the index in between for this.
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

// removeWordsOf removes the words of a ticket from the index, and reports whether there is a ticket that is not erased. The caller must
// call mergeWords afterwards.
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

// The rows that mergeWords adds, which belong to no ticket, and their words. The words of largeRow do not fit into one page of the index.
const smallRow, largeRow, smallWords = -2, -1, "merged"

var largeWords = func() string {
	var words strings.Builder
	for i := range 1000 {
		_, _ = fmt.Fprintf(&words, "%08x ", i)
	}
	return words.String()
}()

// mergeWords merges all of the index, and removes everything that is marked as deleted. No words of an erased ticket are left then, neither
// its last words nor earlier ones. The time grows with the size of the index, and nothing else is written meanwhile.
//
// FTS5 keeps the marks, with their words, except when it merges into the highest level. It always does that when it merges parts of
// different levels. So mergeWords first merges everything into one part, with enough words to make this part larger than the next one.
// Otherwise FTS5 would put the next part on the same level.
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

// wordsInIndex returns the words that the index has for a ticket. It is for a ticket that can't be decoded. It reads all of the index,
// which takes seconds if there are a million tickets, and nothing else is written meanwhile.
func wordsInIndex(tx *sql.Tx, number int64) (words string, err error) {
	if _, err := tx.Exec(showIndex); err != nil {
		return "", err
	}
	err = tx.QueryRow("SELECT coalesce(group_concat(term, ' '), '') FROM temp.shown_ticket_words WHERE doc = ?", number).Scan(&words)
	return words, err
}

// fillBatch is the number of existing tickets whose words are indexed in one transaction.
const fillBatch = 500

// fillWords rebuilds the index of words if there is none, or if its version is not [ticket.WordsVersion]. If it is interrupted, it
// continues at the next start. Nothing else uses the store yet.
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

// emptyOldWords empties an index of another version. The current rules give other words, so words of the old rules could not be removed
// later.
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

// fillSome does a part of fillWords. more is false if nothing is left to do.
func (s *Store) fillSome(ctx context.Context, tx *sql.Tx) (more bool, err error) {
	var filledTo sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT filled_to FROM words_version").Scan(&filledTo); err != nil || !filledTo.Valid {
		return false, err
	}
	last, err := s.fillAfter(ctx, tx, filledTo.Int64)
	if err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE words_version SET filled_to = ?", last)
	return last.Valid, err
}

// fillAfter indexes the words of the next tickets after a number. It returns the number of the last ticket, none if there was no ticket.
func (s *Store) fillAfter(ctx context.Context, tx *sql.Tx, number int64) (last sql.NullInt64, err error) {
	err = forEach(tx.QueryContext(ctx, "SELECT number, ticket_id, content FROM tickets WHERE number > ? AND erased = 0"+
		" ORDER BY number LIMIT ?", number, fillBatch))(func(rows *sql.Rows) error {
		var id string
		var content sql.RawBytes
		if err := rows.Scan(&last, &id, &content); err != nil {
			return err
		}
		t, err := ticketcodec.UnmarshalTicket(id, content)
		if errors.Is(err, ticket.ErrCorrupt) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.writeWords(ctx, tx, last.Int64, "", t.Words())
	})
	return last, err
}
