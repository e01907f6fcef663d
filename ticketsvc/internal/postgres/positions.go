package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	selectPosition = "SELECT sequence, coalesce(event_id, ''), ticket_id, name, nonce FROM ticketsvc.events"
	lastPosition   = selectPosition + " ORDER BY sequence DESC LIMIT 1"
	positionAt     = selectPosition + " WHERE sequence = $1"
	positionsAt    = selectPosition + " WHERE sequence = ANY($1)"
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
		return ticket.LogPosition{}, mapError(ctx.Err())
	}
	return s.position(ctx, positionAt, sequence)
}

// PositionsAt implements [ticket.Store].
func (s *Store) PositionsAt(ctx context.Context, sequences []int64) (positions map[int64]ticket.LogPosition, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		positions = make(map[int64]ticket.LogPosition, len(sequences))
		rows, err := q.Query(ctx, positionsAt, sequences)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			position, err := scanPosition(rows)
			if err != nil {
				return err
			}
			positions[position.Sequence] = position
		}
		if err := rows.Err(); err != nil || !slices.ContainsFunc(sequences, func(sequence int64) bool {
			_, found := positions[sequence]
			return sequence > 0 && !found
		}) {
			return err
		}
		if err := positionNotFound(ctx, q); !errors.Is(err, ticket.ErrPositionNotFound) {
			return err
		}
		return nil
	})
	return positions, err
}

func (s *Store) position(ctx context.Context, query string, arguments ...any) (position ticket.LogPosition, err error) {
	err = s.query(ctx, func(q postgresdb.Querier) error {
		position, err = scanPosition(q.QueryRow(ctx, query, arguments...))
		if errors.Is(err, pgx.ErrNoRows) {
			return positionNotFound(ctx, q)
		}
		return err
	})
	return position, err
}

// scanPosition reads a row of selectPosition.
func scanPosition(row pgx.Row) (ticket.LogPosition, error) {
	var e ticket.Event
	var name string
	var nonce int64
	if err := row.Scan(&e.Sequence, &e.EventID, &e.TicketID, &name, &nonce); err != nil {
		return ticket.LogPosition{}, err
	}
	e.EventID, e.TicketID, e.Name = postgresdb.UnescapeText(e.EventID), postgresdb.UnescapeText(e.TicketID), ticket.EventName(name)
	return e.Position(nonce), nil
}

// positionNotFound returns [ticket.ErrPositionNotFound] for a position that the log does not have. If the server can't be written to, it
// may be a standby whose log lags. Then positionNotFound returns [postgresdb.ErrReadOnly].
func positionNotFound(ctx context.Context, q postgresdb.Querier) error {
	var readOnly bool
	if err := q.QueryRow(ctx, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool").Scan(&readOnly); err != nil {
		return err
	}
	if readOnly {
		return postgresdb.ErrReadOnly
	}
	return ticket.ErrPositionNotFound
}
