package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

const (
	readErasureCursor = "SELECT generation, position FROM erasure_cursor"
	moveErasureCursor = "UPDATE erasure_cursor SET generation = ?, position = ? WHERE generation = ? AND position = ?"
	addErasure        = "INSERT INTO erasures (ticket_id, receipt, generation) VALUES (?, ?, ?)" +
		" ON CONFLICT (ticket_id) DO UPDATE SET receipt = excluded.receipt, generation = excluded.generation"
	missingErasures = "SELECT ticket_id, receipt FROM erasures WHERE generation < ? AND ticket_id > ? ORDER BY ticket_id LIMIT ?"
)

// ErasureCursor implements [inbox.ErasureStore].
func (s *Store) ErasureCursor(ctx context.Context) (cursor inbox.ErasureCursor, err error) {
	err = s.db.Reader.QueryRowContext(ctx, readErasureCursor).Scan(&cursor.Generation, &cursor.Position)
	return cursor, mapError(ctx, err)
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
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		result, err := tx.Exec(moveErasureCursor, to.Generation, to.Position, from.Generation, from.Position)
		if err != nil {
			return err
		}
		if moved, err := result.RowsAffected(); err != nil || moved == 0 {
			return err
		}
		for _, e := range erasures {
			if _, err := tx.Exec(addErasure, e.TicketID, e.Receipt, to.Generation); err != nil {
				return err
			}
		}
		return nil
	})
	return mapError(ctx, err)
}

// MissingErasures implements [inbox.ErasureStore].
func (s *Store) MissingErasures(ctx context.Context, generation int64, after string, limit int) ([]inbox.Erasure, error) {
	rows, err := s.db.Reader.QueryContext(ctx, missingErasures, generation, after, limit)
	if err != nil {
		return nil, mapError(ctx, err)
	}
	missing, err := scanErasures(rows)
	return missing, mapError(ctx, err)
}

// scanErasures reads all rows of [missingErasures], and closes them.
func scanErasures(rows *sql.Rows) (erasures []inbox.Erasure, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e inbox.Erasure
		if err := rows.Scan(&e.TicketID, &e.Receipt); err != nil {
			return nil, err
		}
		erasures = append(erasures, e)
	}
	return erasures, rows.Err()
}
