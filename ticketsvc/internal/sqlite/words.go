package sqlite

import (
	"context"
	"database/sql"
	"errors"

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

// eraseWords takes the words of a ticket, if there is one, out of the index.
func (s *Store) eraseWords(tx *sql.Tx, ticketID string) error {
	var number int64
	var content []byte
	err := tx.QueryRow("SELECT number, content FROM tickets WHERE ticket_id = ? AND erased = 0", ticketID).Scan(&number, &content)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	var words string
	if t, err := ticketcodec.UnmarshalTicket(ticketID, content); err == nil {
		words = t.Words()
	} else if words, err = wordsInIndex(tx, number); err != nil {
		return err
	}
	return s.writeWords(context.Background(), tx, number, words, "")
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

// fillBatch is how many tickets of an older version get their words in one transaction.
const fillBatch = 500

// fillWords gives the tickets of an older version their words. Where it is cut off it goes on the next time.
func (s *Store) fillWords(ctx context.Context) error {
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

// fillSome does a part of fillWords. more is false when nothing was left to do.
func (s *Store) fillSome(ctx context.Context, tx *sql.Tx) (more bool, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT w.number, t.ticket_id, t.content FROM tickets_without_words AS w"+
		" JOIN tickets AS t USING (number) ORDER BY w.number LIMIT ?", fillBatch)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var last int64
	for rows.Next() {
		var id string
		var content sql.RawBytes
		if err := rows.Scan(&last, &id, &content); err != nil {
			return false, err
		}
		more = true
		t, err := ticketcodec.UnmarshalTicket(id, content)
		if errors.Is(err, ticket.ErrCorrupt) {
			continue
		}
		if err != nil {
			return false, err
		}
		if err := s.writeWords(ctx, tx, last, "", t.Words()); err != nil {
			return false, err
		}
	}
	if err := rows.Err(); err != nil || !more {
		return false, err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM tickets_without_words WHERE number <= ?", last)
	return more, err
}
