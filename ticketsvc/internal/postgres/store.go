// Package postgres keeps tickets and the log of their events in PostgreSQL, for any number of services at once.
package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

var (
	//go:embed schema.sql
	schema string
	//go:embed search.sql
	search string

	// migrations are the steps of the schema. Databases made by any of them hold what was acknowledged, so none is ever changed.
	migrations = []string{schema, search}
)

// connections is how many calls use the database at the same time: one writes, the others read.
const connections = 16

// Store implements [ticket.Store].
type Store struct {
	db *postgresdb.DB
	// numbering gives events their places in the log. Tests show with another one what it is good for.
	numbering numbering
}

// Open opens the database at url, makes or brings up to date the service's tables in it, and gives the tickets of an older version their
// words. Its errors are those of [postgresdb.Open] and [postgresdb.DB.Write].
func Open(ctx context.Context, url string) (*Store, error) {
	db, err := postgresdb.Open(ctx, postgresdb.Options{URL: url, Schema: "ticketsvc", Migrations: migrations, Connections: connections})
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, numbering: inCommitOrder}
	if err := s.fillWords(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("making the index of words: %w", err)
	}
	return s, nil
}

// Close implements [ticket.Store].
func (s *Store) Close() error {
	s.db.Close()
	return nil
}

// Ping implements [ticket.Store].
func (s *Store) Ping(ctx context.Context) error { return translate(s.db.Ping(ctx)) }

// read runs f in a transaction that sees the database as it is at one moment.
func (s *Store) read(ctx context.Context, f func(pgx.Tx) error) error {
	return translate(s.db.Read(ctx, f))
}

// query runs f, which reads with a single statement.
func (s *Store) query(ctx context.Context, f func(postgresdb.Querier) error) error {
	return translate(s.db.Query(ctx, f))
}

// translate makes the database's errors the rules' own.
func translate(err error) error {
	if errors.Is(err, postgresdb.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ticket.ErrUnavailable, err)
	}
	return err
}
