package bench

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"time"

	// The drivers to read ticketsvc's database with.
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// The engines that the services can keep their data in.
const (
	SQLite     = "SQLite"
	PostgreSQL = "PostgreSQL"
)

// database is where the services of one part keep their data.
type database struct {
	// gatewayURL and ticketsvcURL are what the services are told.
	gatewayURL, ticketsvcURL string
	// driver and source open that of ticketsvc from here, and appliedQuery counts what it has applied: its log has a row for each event,
	// numbered without gaps.
	driver, source, appliedQuery string
}

// sqliteDatabase is two files, which the services make.
func sqliteDatabase(folder string) database {
	gateway, ticketsvc := filepath.Join(folder, "gateway.db"), filepath.Join(folder, "ticketsvc.db")
	return database{
		gatewayURL: "sqlite:" + gateway, ticketsvcURL: "sqlite:" + ticketsvc,
		driver: "sqlite", source: "file:" + ticketsvc + "?mode=ro&_pragma=busy_timeout(1000)",
		appliedQuery: "SELECT coalesce(max(sequence), 0) FROM events",
	}
}

// postgresDatabase is one database, in which each service has a schema.
func postgresDatabase(url string) database {
	return database{
		gatewayURL: url, ticketsvcURL: url,
		driver: "pgx", source: url,
		appliedQuery: "SELECT coalesce(max(sequence), 0) FROM ticketsvc.events",
	}
}

// inDatabase calls f with a new folder and a new database, and removes both afterwards.
func (b *bench) inDatabase(ctx context.Context, engine string, f func(folder string, db database) error) error {
	return b.inFolder(func(folder string) error {
		if engine == SQLite {
			return f(folder, sqliteDatabase(folder))
		}
		return b.postgres.inDatabase(ctx, func(url string) error { return f(folder, postgresDatabase(url)) })
	})
}

const (
	// appliedPoll is the pause between two counts, and how exactly the end of a sustained part is known.
	appliedPoll = 100 * time.Millisecond
	// appliedStall is for how long nothing may be applied before the wait is given up.
	appliedStall = 30 * time.Second
)

// waitApplied returns once ticketsvc has applied this many events.
func (d database) waitApplied(ctx context.Context, want int) error {
	db, err := sql.Open(d.driver, d.source)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	poll := time.NewTicker(appliedPoll)
	defer poll.Stop()
	applied, changed := -1, time.Now()
	for {
		var now int
		if err := db.QueryRowContext(ctx, d.appliedQuery).Scan(&now); err != nil {
			return fmt.Errorf("counting the applied events: %w", err)
		}
		if now >= want {
			return nil
		}
		if now != applied {
			applied, changed = now, time.Now()
		} else if time.Since(changed) > appliedStall {
			return fmt.Errorf("%d of %d accepted events are applied, and none more for %v", applied, want, appliedStall)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-poll.C:
		}
	}
}
