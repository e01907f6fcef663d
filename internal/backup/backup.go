// Package backup has the commands backup and restore of both services.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

// Run writes a copy of the SQLite database that databaseURL names to the new file to, and prints a line about it on stdout. The service may
// be running. If stderr is a terminal, Run shows its progress there once a second.
func Run(ctx context.Context, program settings.Program, databaseURL, to string, options func(path string) sqlitedb.Options,
	stderr io.Writer,
) error {
	database, err := databaseurl.Parse(databaseURL)
	if err != nil {
		return program.Problem("database-url", "%w", err)
	}
	if database.PostgresURL != "" {
		return program.Problem("database-url", "names a PostgreSQL database, which PostgreSQL's own program backs up:"+
			" pg_dump --format=custom --schema=%s --file=%s <URL>", program.Name, to)
	}
	begin := time.Now()
	var total int64
	onTerminal := isTerminal(stderr)
	err = sqlitedb.Backup(ctx, options(database.SQLitePath), to, func(done, all int64) {
		total = all
		if onTerminal {
			_, _ = fmt.Fprintf(stderr, "\r\033[K%s", progress(done, all))
		}
	})
	if onTerminal {
		_, _ = fmt.Fprint(stderr, "\r\033[K")
	}
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("the backup was interrupted, and nothing is left of it: start it again")
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(program.Stdout, "%s is backed up to %s: %s, checked, in %v\n", database.SQLitePath, to, inMiB(total),
		time.Since(begin).Round(time.Millisecond))
	return err
}

func progress(done, total int64) string {
	if done == total {
		return inMiB(total) + " are copied and being checked"
	}
	return fmt.Sprintf("%s of %s are copied", inMiB(done), inMiB(total))
}

func inMiB(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
