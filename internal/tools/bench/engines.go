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
	// noEngine is that of the bare handler, which keeps nothing.
	noEngine = "none"
)

// database is where the services of one part keep their data.
type database struct {
	// name is that of the database, or of the folder, in which everything is.
	name string
	// gatewayURL and ticketsvcURL are what the services are told.
	gatewayURL, ticketsvcURL string
	// drop removes the data.
	drop func() error
}

// newDatabase returns a new, empty database: a folder with a file for each service, or a database in which each service has a schema.
// With noEngine it is nothing.
func (b *bench) newDatabase(ctx context.Context, engine string) (database, error) {
	name := b.newName("bench")
	if engine == noEngine {
		return database{drop: func() error { return nil }}, nil
	}
	if engine == postgreSQL {
		url := b.postgres.URL(name)
		return database{name: name, gatewayURL: url, ticketsvcURL: url, drop: func() error {
			// Also when ctx has ended.
			return b.executePostgres(context.WithoutCancel(ctx), "postgres", "DROP DATABASE "+name+" WITH (FORCE)")
		}}, b.executePostgres(ctx, "postgres", "CREATE DATABASE "+name)
	}
	folder := filepath.Join(b.folder, name)
	url := "sqlite:" + folder
	return database{name: name, gatewayURL: url + "/gateway.db", ticketsvcURL: url + "/ticketsvc.db",
		drop: func() error { return os.RemoveAll(folder) }}, os.Mkdir(folder, 0o700)
}

// startPostgres starts the server that all parts with PostgreSQL share, with its data in the run's folder. As root PostgreSQL runs as
// another account: where that can't reach the folder, the data is in the system's folder for temporary files, which the report says.
func (b *bench) startPostgres(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := os.Chmod(b.folder, 0o711); err != nil {
		return err
	}
	about := "PostgreSQL with its default durability"
	if b.postgres, err = postgresserver.Start(ctx, postgresserver.Options{Dir: b.folder}); err != nil && os.Geteuid() == 0 {
		about += "; ITS DATA IS IN " + os.TempDir() + ", because the account it runs as can't reach the folder that was asked for"
		b.postgres, err = postgresserver.Start(ctx, postgresserver.Options{})
	}
	b.results.head = append(b.results.head, about)
	return err
}

// executePostgres runs statements on a connection of its own, so that none is open while something is measured.
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
