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

// ReceiptKey implements [ticket.Store].
func (s *Store) ReceiptKey() ticket.ReceiptKey { return s.receiptKey }

func (s *Store) readIdentityAndKey(ctx context.Context) error {
	return s.query(ctx, func(q postgresdb.Querier) error {
		var id pgtype.UUID
		var key []byte
		err := q.QueryRow(ctx, "SELECT database_id, erasure_key FROM ticketsvc.identity").Scan(&id, &key)
		s.databaseID = id.Bytes
		copy(s.receiptKey[:], key)
		return err
	})
}

// makeReceiptKey gives the database its [ticket.ReceiptKey].
func makeReceiptKey(ctx context.Context, tx pgx.Tx) error {
	key := ticket.NewReceiptKey()
	_, err := tx.Exec(ctx, "UPDATE ticketsvc.identity SET erasure_key = $1", key[:])
	return err
}
