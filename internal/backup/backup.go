// Package backup is the command backup of both services.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

// progressInterval is the time between two lines of progress.
const progressInterval = time.Second

// Run writes a copy of the SQLite database that databaseURL names to the new file to, while its service runs or not, and prints a line
// about it on stdout. On stderr, where that is a terminal, it shows how far it is once a second.
func Run(ctx context.Context, program settings.Program, databaseURL, to string, stderr io.Writer) error {
	database, err := databaseurl.Parse(databaseURL)
	if err != nil {
		return program.Problem("database-url", "%w", err)
	}
	if database.PostgresURL != "" {
		return program.Problem("database-url", "names a PostgreSQL database, which PostgreSQL's own program backs up:"+
			" pg_dump --format=custom --schema=%s --file=%s <URL>", program.Name, to)
	}
	begin := time.Now()
	var p progress
	stop := func() {}
	if isTerminal(stderr) {
		stop = p.show(stderr)
	}
	err = sqlitedb.Backup(ctx, database.SQLitePath, to, p.set)
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("the backup was interrupted, and nothing is left of it: start it again")
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(program.Stdout, "%s is backed up to %s: %s, checked, in %v\n", database.SQLitePath, to, inMiB(p.total.Load()),
		time.Since(begin).Round(time.Millisecond))
	return err
}

// progress is how many bytes of how many are copied.
type progress struct{ done, total atomic.Int64 }

func (p *progress) set(done, total int64) {
	p.total.Store(total)
	p.done.Store(done)
}

// show writes a line once a second until stop is called, each over the one before.
func (p *progress) show(w io.Writer) (stop func()) {
	stopped := make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_, _ = fmt.Fprintf(w, "\r\033[K%s", p)
			case <-stopped:
				_, _ = fmt.Fprint(w, "\r\033[K")
				return
			}
		}
	})
	return func() {
		close(stopped)
		showing.Wait()
	}
}

func (p *progress) String() string {
	done, total := p.done.Load(), p.total.Load()
	if done == total && total > 0 {
		return fmt.Sprintf("%s are copied and being checked", inMiB(total))
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
