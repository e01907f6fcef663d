// Package fill makes databases with very many tickets, for benchmarks of reading: a million in the time in which recording their events
// would make some ten thousand.
//
// It writes rows that the stores would have written, by way of the rules and of ticketcodec, straight into the tables, and makes the
// tables' indexes afterwards. The log stays empty: nothing that is read of a ticket, a list or the stats is in it.
package fill

import (
	"context"
	"errors"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// ErrNotEmpty says that the database has tickets already.
var ErrNotEmpty = errors.New("the database is not empty: name a new one")

// Database makes the tickets from number 0 to n-1 in a new database, which it makes ready for ticketsvc first. Errors: [ErrNotEmpty], those
// of the stores' Open, the engine's, and ctx's. After an error the database is to be thrown away.
func Database(ctx context.Context, database databaseurl.URL, n int) error {
	open := func() (ticket.Store, error) { return sqlite.Open(ctx, database.SQLitePath) }
	fill := func() error { return fillSQLite(ctx, database.SQLitePath, n) }
	settle := func() error { return nil }
	if database.PostgresURL != "" {
		open = func() (ticket.Store, error) { return postgres.Open(ctx, database.PostgresURL, nil) }
		fill = func() error { return fillPostgres(ctx, database.PostgresURL, n) }
		settle = func() error { return settlePostgres(ctx, database.PostgresURL) }
	}
	migrate := func() error {
		store, err := open()
		if err != nil {
			return err
		}
		return store.Close()
	}
	// The second time gives the tickets their words, as those get them that a version without text search wrote.
	for _, step := range []func() error{migrate, fill, migrate, settle} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// columns are those of a ticket's row, the same on both engines.
var columns = []string{"ticket_id", "status", "app_id", "category_id", "assigned_to", "property_id", "create_time", "update_time",
	"waiting_since", "stamps", "content"}

// values returns the row of a ticket. Its texts are plain, so they are the same on both engines.
func values(number int) []any {
	change := Change(number)
	record := ticket.NewRecord(change.TicketID)
	record.Apply(&change)
	content, stamps := ticketcodec.MarshalRecord(record)
	t := &record.Ticket
	return []any{t.ID, int32(t.Status), t.AppID, t.CategoryID, t.AssignedTo, t.PropertyID, t.CreateTime.SortableText(),
		t.UpdateTime.SortableText(), t.WaitingSince().SortableText(), stamps, content}
}
