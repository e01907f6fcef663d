package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

// The engines of the services' databases.
const (
	sqlite     = "SQLite"
	postgreSQL = "PostgreSQL"
	// noEngine is the engine of the bare handler, which stores nothing.
	noEngine = "none"
)

// database is the place of the data of one part's services.
type database struct {
	// name is the name of the PostgreSQL database, or of the folder with the SQLite files.
	name string
	// gatewayURL and ticketsvcURL are the database URLs of the services.
	gatewayURL, ticketsvcURL string
	// drop removes the data.
	drop func() error
}

// newDatabase returns a new, empty database: a folder with a file for each service, or a database with a schema for each service. For
// noEngine it does nothing.
func (b *bench) newDatabase(ctx context.Context, engine string) (database, error) {
	name := b.newName("bench")
	if engine == noEngine {
		return database{drop: func() error { return nil }}, nil
	}
	if engine == postgreSQL {
		url := b.postgres.URL(name)
		return database{name: name, gatewayURL: url, ticketsvcURL: url, drop: func() error {
			// It runs even if ctx has ended.
			return b.executePostgres(context.WithoutCancel(ctx), "postgres", "DROP DATABASE "+name+" WITH (FORCE)")
		}}, b.executePostgres(ctx, "postgres", "CREATE DATABASE "+name)
	}
	folder := filepath.Join(b.folder, name)
	url := "sqlite:" + folder
	return database{name: name, gatewayURL: url + "/gateway.db", ticketsvcURL: url + "/ticketsvc.db",
		drop: func() error { return os.RemoveAll(folder) }}, os.Mkdir(folder, 0o700)
}

// startPostgres starts the server that all parts with PostgreSQL share, with its data in the run's folder. If this process runs as root,
// PostgreSQL runs as another account. If that account can't reach the folder, the data is in the system's folder for temporary files, and
// the report has a line about it.
func (b *bench) startPostgres(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := os.Chmod(b.folder, 0o711); err != nil {
		return err
	}
	about := "PostgreSQL with its default durability"
	if b.postgres, err = postgresserver.Start(ctx, postgresserver.Options{Dir: b.folder}); err != nil && os.Geteuid() == 0 {
		about += "; ITS DATA IS IN " + os.TempDir() + ", because PostgreSQL's account can't reach the folder of --dir"
		b.postgres, err = postgresserver.Start(ctx, postgresserver.Options{})
	}
	b.results.head = append(b.results.head, about)
	return err
}

// executePostgres runs statements on a new connection and closes it, so that no connection is open during a measurement.
func (b *bench) executePostgres(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, b.postgres.URL(database))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
