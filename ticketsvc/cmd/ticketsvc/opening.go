package main

import (
	"context"
	"log/slog"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// openStore opens the database of the settings, and upgrades it.
func openStore(ctx context.Context, database databaseurl.URL, log *slog.Logger) (ticket.Store, error) {
	defer databaseurl.LogStillOpening(log, "about a minute for a million tickets")()
	if database.PostgresURL != "" {
		return postgres.Open(ctx, database.PostgresURL, log)
	}
	return sqlite.Open(ctx, database.SQLitePath)
}
