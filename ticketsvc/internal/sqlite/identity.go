package sqlite

import (
	"context"
	"database/sql"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// DatabaseID implements [ticket.Log].
func (s *Store) DatabaseID() ticket.DatabaseID { return s.databaseID }

// ErasureKey implements [ticket.Store].
func (s *Store) ErasureKey() ticket.ErasureKey { return s.erasureKey }

func (s *Store) readIdentity(ctx context.Context) error {
	var id, key []byte
	if err := s.db.QuickReader.QueryRowContext(ctx, "SELECT database_id, erasure_key FROM identity").Scan(&id, &key); err != nil {
		return err
	}
	copy(s.databaseID[:], id)
	copy(s.erasureKey[:], key)
	return nil
}

// makeErasureKey gives the database its [ticket.ErasureKey].
func makeErasureKey(ctx context.Context, tx *sql.Tx) error {
	key := ticket.NewErasureKey()
	_, err := tx.ExecContext(ctx, "UPDATE identity SET erasure_key = ?", key[:])
	return err
}
