// Package postgres keeps the inbox in PostgreSQL, for any number of gateways at the same time.
//
// Each gateway may die at any moment. So nothing for which others wait outlives a transaction, and a claim is a lease that ends by itself.
package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
)

var (
	//go:embed schema.sql
	schema string
	//go:embed erasures.sql
	erasures string
	//go:embed positions.sql
	positions string
	//go:embed replaycursor.sql
	replayCursor string

	// migrations are the steps of the schema. Databases that were made by any of them hold acknowledged deliveries, so no step is ever
	// changed.
	migrations = []postgresdb.Migration{{Script: schema}, {Script: erasures}, {Script: positions}, {Script: replayCursor}}
)

// connections is the maximum number of calls that use the database at the same time. A gateway uses one connection each to add, claim,
// finish, notify, and find out what is due. The others are for ticketsvc's log positions and erasures.
const connections = 8

// Store implements [inbox.Store].
type Store struct {
	db    *postgresdb.DB
	floor claimFloor
	// added notifies the other gateways of new deliveries.
	added *postgresdb.Channel
}

// Open opens the database at url, and makes the gateway's tables in it or brings them up to date. log is that of [postgresdb.Options].
// Errors are those of [postgresdb.Open].
func Open(ctx context.Context, url string, log *slog.Logger) (*Store, error) {
	db, err := postgresdb.Open(ctx, postgresdb.Options{URL: url, Schema: "gateway",
		Migrations: migrations, Connections: connections, Log: log})
	if err != nil {
		return nil, err
	}
	return &Store{db: db, added: db.NewChannel(channel)}, nil
}

// Close implements [inbox.Store].
func (s *Store) Close() error {
	s.db.Close()
	return nil
}

// Ping implements [inbox.Store].
func (s *Store) Ping(ctx context.Context) error { return mapError(s.db.Ping(ctx)) }

// mapError returns an error of the database as an error of the inbox.
func mapError(err error) error {
	if errors.Is(err, postgresdb.ErrUnavailable) {
		return fmt.Errorf("%w: %w", inbox.ErrUnavailable, err)
	}
	return err
}

func fromUnixNano(nanoseconds int64) time.Time { return time.Unix(0, nanoseconds).UTC() }
