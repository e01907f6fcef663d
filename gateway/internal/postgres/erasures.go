package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
)

const (
	readErasureCursor = `SELECT generation, position FROM gateway.erasure_cursor`
	moveErasureCursor = `UPDATE gateway.erasure_cursor SET generation = $1, position = $2 WHERE generation = $3 AND position = $4`
	addErasure        = `INSERT INTO gateway.erasures (ticket_id, receipt, generation) VALUES ($1, $2, $3)
 ON CONFLICT (ticket_id) DO UPDATE SET receipt = excluded.receipt, generation = excluded.generation`
	missingErasures = `SELECT ticket_id, receipt FROM gateway.erasures WHERE generation < $1 AND ticket_id > $2 ORDER BY ticket_id LIMIT $3`
)

// ErasureCursor implements [inbox.ErasureStore].
func (s *Store) ErasureCursor(ctx context.Context) (cursor inbox.ErasureCursor, err error) {
	err = s.db.Query(ctx, func(q postgresdb.Querier) error {
		return q.QueryRow(ctx, readErasureCursor).Scan(&cursor.Generation, &cursor.Position)
	})
	return cursor, mapError(err)
}

// AddErasures implements [inbox.ErasureStore].
func (s *Store) AddErasures(ctx context.Context, at inbox.ErasureCursor, erasures []inbox.Erasure, position string) error {
	return s.moveErasureCursor(ctx, at, inbox.ErasureCursor{Generation: at.Generation, Position: position}, erasures)
}

// RestartErasures implements [inbox.ErasureStore].
func (s *Store) RestartErasures(ctx context.Context, at inbox.ErasureCursor) error {
	return s.moveErasureCursor(ctx, at, inbox.ErasureCursor{Generation: at.Generation + 1}, nil)
}

func (s *Store) moveErasureCursor(ctx context.Context, from, to inbox.ErasureCursor, erasures []inbox.Erasure) error {
	err := s.db.Write(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		moved := false
		first := &pgx.Batch{}
		first.Queue("begin")
		first.Queue(moveErasureCursor, to.Generation, to.Position, from.Generation, from.Position).Exec(func(tag pgconn.CommandTag) error {
			moved = tag.RowsAffected() > 0
			return nil
		})
		if err := conn.SendBatch(ctx, first).Close(); err != nil {
			return err
		}
		last := &pgx.Batch{}
		if moved {
			for _, e := range erasures {
				last.Queue(addErasure, postgresdb.EscapeText(e.TicketID), e.Receipt, to.Generation)
			}
		}
		last.Queue("commit")
		return conn.SendBatch(ctx, last).Close()
	})
	return mapError(err)
}

// MissingErasures implements [inbox.ErasureStore].
func (s *Store) MissingErasures(ctx context.Context, generation int64, after string, limit int) (missing []inbox.Erasure, err error) {
	err = s.db.Query(ctx, func(q postgresdb.Querier) error {
		rows, err := q.Query(ctx, missingErasures, generation, postgresdb.EscapeText(after), limit)
		if err != nil {
			return err
		}
		missing, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e inbox.Erasure, err error) {
			err = row.Scan(&e.TicketID, &e.Receipt)
			e.TicketID = postgresdb.UnescapeText(e.TicketID)
			return e, err
		})
		return err
	})
	return missing, mapError(err)
}
