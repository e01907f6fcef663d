// Package postgres stores tickets and the log of their events in PostgreSQL, for any number of services at once.
package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

var (
	//go:embed schema.sql
	schema string
	//go:embed identity.sql
	identity string
	//go:embed stats.sql
	stats string
	//go:embed search.sql
	search string
	//go:embed nonce.sql
	nonce string
	//go:embed receiptkey.sql
	receiptKey string

	// migrations are the steps of the schema. A step must never be changed, because databases that it made hold acknowledged events.
	migrations = []postgresdb.Migration{
		{Script: schema}, {Script: identity}, {Script: stats, Fill: fillWaits}, {Script: search}, {Script: nonce},
		{Script: receiptKey, Fill: makeReceiptKey},
	}
)

// connections is the maximum number of calls that use the database at once: one writes, the others read.
const connections = 16

// Store implements [ticket.Store].
type Store struct {
	db *postgresdb.DB
	// numbering gives events their sequence numbers in the log. Tests replace it to show that it is needed.
	numbering  numbering
	databaseID ticket.DatabaseID
	receiptKey ticket.ReceiptKey
	// appended is notified when the log has grown. others notifies the other replicas.
	appended ticket.Notifier
	others   *postgresdb.Channel
	// batches counts the batches, because only one in [rollUpEvery] rolls up counts.
	batches atomic.Uint64
}

// Open opens the database at url, creates or upgrades the service's tables in it, and indexes the words of tickets that an older version
// stored. log is that of [postgresdb.Options]. Its errors are those of [postgresdb.Open] and [postgresdb.DB.Write].
func Open(ctx context.Context, url string, log *slog.Logger) (*Store, error) {
	db, err := postgresdb.Open(ctx, postgresdb.Options{URL: url, Schema: "ticketsvc", Migrations: migrations, Connections: connections,
		Log: log})
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, numbering: inCommitOrder, others: db.NewChannel(channel)}
	if err := s.readIdentityAndKey(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.fillWords(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("making the index of words: %w", err), s.Close())
	}
	return s, nil
}

// Close implements [ticket.Store].
func (s *Store) Close() error {
	s.db.Close()
	return nil
}

// Ping implements [ticket.Store].
func (s *Store) Ping(ctx context.Context) error { return mapError(s.db.Ping(ctx)) }

// read runs f in a transaction that sees the database at one moment.
func (s *Store) read(ctx context.Context, f func(pgx.Tx) error) error {
	return mapError(s.db.Read(ctx, f))
}

// query runs f, which reads with a single statement.
func (s *Store) query(ctx context.Context, f func(postgresdb.Querier) error) error {
	return mapError(s.db.Query(ctx, f))
}

// readLong is like read, for reads that may take long.
func (s *Store) readLong(ctx context.Context, f func(pgx.Tx) error) error {
	return s.db.Long(ctx, func() error { return s.read(ctx, f) })
}

// queryLong is like query, for reads that may take long.
func (s *Store) queryLong(ctx context.Context, f func(postgresdb.Querier) error) error {
	return s.db.Long(ctx, func() error { return s.query(ctx, f) })
}

// mapError converts the database's errors to those of package ticket.
func mapError(err error) error {
	if errors.Is(err, postgresdb.ErrReadOnly) {
		return fmt.Errorf("%w: %w", ticket.ErrReadOnly, err)
	}
	if errors.Is(err, postgresdb.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ticket.ErrUnavailable, err)
	}
	return err
}
