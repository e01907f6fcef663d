// Package postgres keeps the inbox in PostgreSQL, for any number of gateways at once.
//
// Each of them may die at any moment. So nothing that others wait for outlives a transaction, and a claim is a lease that ends by itself.
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

	// migrations are the steps of the schema. Databases made by any of them hold what was acknowledged, so none is ever changed.
	migrations = []postgresdb.Migration{{Script: schema}, {Script: erasures}, {Script: positions}, {Script: replayCursor}}
)

// connections is how many calls use the database at the same time: a gateway adds, claims, settles, notifies and asks what is due with
// one each. The others are for what is known of ticketsvc's log and of erasures.
const connections = 8

// Store implements [inbox.Store].
type Store struct {
	db    *postgresdb.DB
	front front
	// added tells the other gateways that deliveries were added.
	added *postgresdb.Channel
}

// Open opens the database at url, and makes or brings up to date the gateway's tables in it. log is that of [postgresdb.Options]. Errors
// are those of [postgresdb.Open].
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
func (s *Store) Ping(ctx context.Context) error { return translate(s.db.Ping(ctx)) }

// translate makes the database's errors the inbox's own.
func translate(err error) error {
	if errors.Is(err, postgresdb.ErrUnavailable) {
		return fmt.Errorf("%w: %w", inbox.ErrUnavailable, err)
	}
	return err
}

func fromUnixNano(nanoseconds int64) time.Time { return time.Unix(0, nanoseconds).UTC() }
