package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

// Restore replaces the SQLite database that databaseURL names by the backup from. It prints on stdout what it did, and then meaning: lines
// about what the restore means for others. The service must be stopped. options are the options with which the service opens a database.
func Restore(ctx context.Context, program settings.Program, databaseURL, from string, options func(path string) sqlitedb.Options,
	meaning string) error {
	database, err := databaseurl.Parse(databaseURL)
	if err != nil {
		return program.Problem("database-url", "%w", err)
	}
	if database.PostgresURL != "" {
		return program.Problem("database-url", "names a PostgreSQL database, which PostgreSQL's own programs restore: stop all replicas,"+
			" drop the schema %[1]s with psql, and run pg_restore --single-transaction --no-owner --schema=%[1]s --dbname=<URL> %[2]s"+
			" (docs/backup.md)", program.Name, from)
	}
	begin := time.Now()
	restored, err := sqlitedb.Restore(ctx, from, options(database.SQLitePath), begin)
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("the restore was interrupted, and the database is as it was: start it again")
	case err != nil:
		return err
	}
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "%s is restored from %s: %s, checked, in %v\n", database.SQLitePath, from, inMiB(restored.Bytes),
		time.Since(begin).Round(time.Millisecond))
	if restored.Aside != "" {
		_, _ = fmt.Fprintf(&text, "what was there is kept as %[1]s (and %[1]s-wal, %[1]s-shm, if it had these): "+
			"delete it when you do not need it\n", restored.Aside)
	}
	_, err = fmt.Fprint(program.Stdout, text.String(), meaning)
	return err
}
