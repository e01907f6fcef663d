package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

const (
	// writeWords stores the words of tickets, given as arrays, with the words of each ticket as one string. It waits for no lock, because its
	// transaction has locked the tickets.
	writeWords = `INSERT INTO ticketsvc.ticket_words (ticket_id, words) SELECT n.ticket_id, array_to_tsvector(string_to_array(n.words, ' '))
 FROM unnest($1::text[], $2::text[]) AS n (ticket_id, words) ORDER BY n.ticket_id COLLATE "C"
 ON CONFLICT (ticket_id) DO UPDATE SET words = excluded.words`
	eraseWords = `DELETE FROM ticketsvc.ticket_words WHERE ticket_id = $1`

	lockWordsVersion = `SELECT version FROM ticketsvc.words_version FOR UPDATE`
	emptyWords       = `TRUNCATE ticketsvc.ticket_words`
	setWordsVersion  = `UPDATE ticketsvc.words_version SET version = $1, filled_to = ''`
	lockFilledTo     = `SELECT filled_to FROM ticketsvc.words_version WHERE version = $1 AND filled_to IS NOT NULL FOR UPDATE`
	setFilledTo      = `UPDATE ticketsvc.words_version SET filled_to = $1`
	lockNextTickets  = `SELECT ticket_id, erased, content FROM ticketsvc.tickets WHERE ticket_id > $1 ORDER BY ticket_id LIMIT $2
 FOR NO KEY UPDATE`
)

// wordColumns are the words of tickets, column by column.
type wordColumns struct{ ids, words []string }

func (c *wordColumns) add(ticketID, words string) {
	c.ids = append(c.ids, postgresdb.EscapeText(ticketID))
	c.words = append(c.words, words)
}

// fillBatch is the number of existing tickets whose words are indexed in one transaction.
const fillBatch = 128

// fillWords rebuilds the words if there are none, or if their version is not [ticket.WordsVersion]. Replicas that do so at the same time
// wait for each other, a batch at a time. If it is interrupted, it continues at the next start.
func (s *Store) fillWords(ctx context.Context) error {
	if err := s.db.Write(ctx, emptyOldWords); err != nil {
		return err
	}
	for more := true; more; {
		if err := s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
			more, err = fillSome(ctx, conn)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// emptyOldWords deletes the words of another version. It waits for transactions that write words, so that the tickets that these add are
// filled too. Later transactions write their words after it.
func emptyOldWords(ctx context.Context, conn *pgx.Conn) error {
	var version string
	first := &pgx.Batch{}
	first.Queue("begin")
	first.Queue(lockWordsVersion).QueryRow(func(row pgx.Row) error { return row.Scan(&version) })
	if err := conn.SendBatch(ctx, first).Close(); err != nil {
		return err
	}
	last := &pgx.Batch{}
	if version != ticket.WordsVersion {
		last.Queue(emptyWords)
		last.Queue(setWordsVersion, ticket.WordsVersion)
	}
	last.Queue("commit")
	return conn.SendBatch(ctx, last).Close()
}

// fillSome does a part of fillWords. more is false if nothing is left to do, or if a replica of another version has begun to rebuild the
// words by its own rules.
func fillSome(ctx context.Context, conn *pgx.Conn) (more bool, err error) {
	var filledTo []string
	first := &pgx.Batch{}
	first.Queue("begin")
	first.Queue(lockFilledTo, ticket.WordsVersion).Query(func(rows pgx.Rows) error {
		filledTo, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := conn.SendBatch(ctx, first).Close(); err != nil {
		return false, err
	}
	last := &pgx.Batch{}
	if len(filledTo) > 0 {
		filled, end, err := wordsAfter(ctx, conn, filledTo[0])
		if err != nil {
			return false, err
		}
		last.Queue(writeWords, filled.ids, filled.words)
		last.Queue(setFilledTo, end)
		more = end != nil
	}
	last.Queue("commit")
	return more, conn.SendBatch(ctx, last).Close()
}

// wordsAfter locks the next tickets after an id, which is in the form of the table. It returns their words, and the id of the last ticket,
// nil if there was no ticket.
func wordsAfter(ctx context.Context, conn *pgx.Conn, filledTo string) (filled wordColumns, last *string, err error) {
	rows, err := conn.Query(ctx, lockNextTickets, filledTo, fillBatch)
	if err != nil {
		return filled, nil, err
	}
	var id string
	var erased bool
	var content []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &erased, &content}, func() error {
		last = &id
		if erased {
			return nil
		}
		t, err := ticketcodec.UnmarshalTicket(postgresdb.UnescapeText(id), content)
		if errors.Is(err, ticket.ErrCorrupt) {
			return nil
		}
		filled.add(t.ID, t.Words())
		return err
	})
	return filled, last, err
}
