package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// openStore opens the database of the settings, and upgrades it.
func openStore(ctx context.Context, database databaseurl.URL, log *slog.Logger) (ticket.Store, error) {
	defer logStillOpening(log)()
	if database.PostgresURL != "" {
		return postgres.Open(ctx, database.PostgresURL, log)
	}
	return sqlite.Open(ctx, database.SQLitePath)
}

// logStillOpening logs every ten seconds, until stop is called, that the database is not open yet. After an upgrade this can take minutes,
// and without the log the service would seem to hang.
func logStillOpening(log *slog.Logger) (stop func()) {
	stopped := make(chan struct{})
	var logging sync.WaitGroup
	logging.Go(func() {
		ticker := time.NewTicker(10 * time.Second)
		defer ticker.Stop()
		begin := time.Now()
		for {
			select {
			case now := <-ticker.C:
				log.Info("the database is still being opened; the upgrade of an older version's database takes about a minute for a million tickets",
					"seconds", int(now.Sub(begin).Seconds()))
			case <-stopped:
				return
			}
		}
	})
	return func() {
		close(stopped)
		logging.Wait()
	}
}
