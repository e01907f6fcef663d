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
	// writeWords keeps the words of tickets, given as arrays, each ticket's as one text. It waits for nobody: who writes them has locked
	// the tickets.
	writeWords = `INSERT INTO ticketsvc.ticket_words (ticket_id, words) SELECT n.ticket_id, array_to_tsvector(string_to_array(n.words, ' '))
 FROM unnest($1::text[], $2::text[]) AS n (ticket_id, words) ORDER BY n.ticket_id COLLATE "C"
 ON CONFLICT (ticket_id) DO UPDATE SET words = excluded.words`
	eraseWords = `DELETE FROM ticketsvc.ticket_words WHERE ticket_id = $1`

	takeWithoutWords = `DELETE FROM ticketsvc.tickets_without_words WHERE ticket_id IN (SELECT ticket_id FROM ticketsvc.tickets_without_words
 ORDER BY ticket_id LIMIT $1) RETURNING ticket_id`
)

// wordColumns are the words of tickets, column by column.
type wordColumns struct{ ids, words []string }

func (c *wordColumns) add(ticketID, words string) {
	c.ids = append(c.ids, postgresdb.EscapeText(ticketID))
	c.words = append(c.words, words)
}

// fillBatch is how many tickets of an older version get their words in one transaction.
const fillBatch = 128

// fillWords gives the tickets of an older version their words. Replicas that do so at once wait for each other, a batch at a time. Where it
// is cut off it goes on the next time.
func (s *Store) fillWords(ctx context.Context) error {
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

// fillSome does a part of fillWords. more is false when nothing was left to do.
func fillSome(ctx context.Context, conn *pgx.Conn) (more bool, err error) {
	var taken []string
	first := &pgx.Batch{}
	first.Queue("begin")
	first.Queue(takeWithoutWords, fillBatch).Query(func(rows pgx.Rows) error {
		taken, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err := conn.SendBatch(ctx, first).Close(); err != nil {
		return false, err
	}
	rows, err := conn.Query(ctx, lockTickets, taken)
	if err != nil {
		return false, err
	}
	var filled wordColumns
	var id string
	var erased bool
	var stamps, content []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &erased, &stamps, &content}, func() error {
		if erased {
			return nil
		}
		t, err := ticketcodec.UnmarshalTicket(postgresdb.UnescapeText(id), content)
		if errors.Is(err, ticket.ErrCorrupt) {
			return nil
		}
		filled.add(t.ID, t.Words())
		return err
	}); err != nil {
		return false, err
	}
	last := &pgx.Batch{}
	last.Queue(writeWords, filled.ids, filled.words)
	last.Queue("SELECT EXISTS (SELECT FROM ticketsvc.tickets_without_words)").QueryRow(func(row pgx.Row) error { return row.Scan(&more) })
	last.Queue("commit")
	return more, conn.SendBatch(ctx, last).Close()
}
