package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	selectPosition = "SELECT sequence, coalesce(event_id, ''), ticket_id, name, nonce FROM events"
	lastPosition   = selectPosition + " ORDER BY sequence DESC LIMIT 1"
	positionAt     = selectPosition + " WHERE sequence = ?"
)

// LastPosition implements [ticket.Log].
func (s *Store) LastPosition(ctx context.Context) (ticket.LogPosition, error) {
	position, err := s.position(ctx, lastPosition)
	if errors.Is(err, ticket.ErrPositionNotFound) {
		return ticket.LogPosition{}, nil
	}
	return position, err
}

// PositionAt implements [ticket.Log].
func (s *Store) PositionAt(ctx context.Context, sequence int64) (ticket.LogPosition, error) {
	if sequence == 0 {
		return ticket.LogPosition{}, mapError(ctx, ctx.Err())
	}
	return s.position(ctx, positionAt, sequence)
}

// PositionsAt implements [ticket.Store].
func (s *Store) PositionsAt(ctx context.Context, sequences []int64) (map[int64]ticket.LogPosition, error) {
	args := make([]any, len(sequences))
	for i, sequence := range sequences {
		args[i] = sequence
	}
	positions := make(map[int64]ticket.LogPosition, len(sequences))
	err := s.findPositions.Query(ctx, nil, args, 1, func(rows *sql.Rows) error {
		position, err := scanPosition(rows)
		positions[position.Sequence] = position
		return err
	})
	if err != nil {
		return nil, mapError(ctx, err)
	}
	return positions, nil
}

func (s *Store) position(ctx context.Context, query string, args ...any) (ticket.LogPosition, error) {
	position, err := scanPosition(s.db.QuickReader.QueryRowContext(ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return ticket.LogPosition{}, ticket.ErrPositionNotFound
	}
	return position, mapError(ctx, err)
}

// scanPosition reads a row of selectPosition.
func scanPosition(row interface{ Scan(into ...any) error }) (ticket.LogPosition, error) {
	var e ticket.Event
	var nonce int64
	if err := row.Scan(&e.Sequence, &e.EventID, &e.TicketID, &e.Name, &nonce); err != nil {
		return ticket.LogPosition{}, err
	}
	return e.Position(nonce), nil
}
