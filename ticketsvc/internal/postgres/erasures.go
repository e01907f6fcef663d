package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const readErasures = `SELECT sequence, ticket_id, name, nonce FROM ticketsvc.events WHERE event_id IS NULL AND sequence >= $1
 ORDER BY sequence LIMIT $2`

// ListErasures implements [ticket.Store].
func (s *Store) ListErasures(ctx context.Context, after ticket.LogPosition, limit int) (erasures []ticket.Erasure, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		rows, err := q.Query(ctx, readErasures, after.Sequence, limit+1)
		if err != nil {
			return err
		}
		var read []ticket.Erasure
		var e ticket.Event
		var name string
		var nonce int64
		if _, err := pgx.ForEachRow(rows, []any{&e.Sequence, &e.TicketID, &name, &nonce}, func() error {
			e.TicketID, e.Name = postgresdb.UnescapeText(e.TicketID), ticket.EventName(name)
			read = append(read, ticket.Erasure{TicketID: e.TicketID, Position: e.Position(nonce)})
			return nil
		}); err != nil {
			return err
		}
		var held bool
		if erasures, held = ticket.ErasuresAfter(after, limit, read); !held {
			return positionNotFound(ctx, q)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return erasures, nil
}
