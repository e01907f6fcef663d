package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// DatabaseID implements [ticket.Log].
func (s *Store) DatabaseID() ticket.DatabaseID { return s.databaseID }

// ErasureKey implements [ticket.Store].
func (s *Store) ErasureKey() ticket.ErasureKey { return s.erasureKey }

func (s *Store) readIdentity(ctx context.Context) error {
	return s.query(ctx, func(q postgresdb.Querier) error {
		var id pgtype.UUID
		var key []byte
		err := q.QueryRow(ctx, "SELECT database_id, erasure_key FROM ticketsvc.identity").Scan(&id, &key)
		s.databaseID = id.Bytes
		copy(s.erasureKey[:], key)
		return err
	})
}

// makeErasureKey gives the database its [ticket.ErasureKey].
func makeErasureKey(ctx context.Context, tx pgx.Tx) error {
	key := ticket.NewErasureKey()
	_, err := tx.Exec(ctx, "UPDATE ticketsvc.identity SET erasure_key = $1", key[:])
	return err
}
