package sqlite

import (
	"context"
	"database/sql"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// DatabaseID implements [ticket.Log].
func (s *Store) DatabaseID() ticket.DatabaseID { return s.databaseID }

// ReceiptKey implements [ticket.Store].
func (s *Store) ReceiptKey() ticket.ReceiptKey { return s.receiptKey }

func (s *Store) readIdentityAndKey(ctx context.Context) error {
	var id, key []byte
	if err := s.db.QuickReader.QueryRowContext(ctx, "SELECT database_id, erasure_key FROM identity").Scan(&id, &key); err != nil {
		return err
	}
	copy(s.databaseID[:], id)
	copy(s.receiptKey[:], key)
	return nil
}

// makeReceiptKey gives the database its [ticket.ReceiptKey].
func makeReceiptKey(ctx context.Context, tx *sql.Tx) error {
	key := ticket.NewReceiptKey()
	_, err := tx.ExecContext(ctx, "UPDATE identity SET erasure_key = ?", key[:])
	return err
}
