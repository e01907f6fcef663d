package postgresdb

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// migrate brings the service's schema up to date, with the missing migrations in one transaction. timeout bounds each of its waits, but not
// the migrations themselves.
//
// Replicas that start at the same time take turns. A replica that has nothing to migrate writes nothing, so it needs no privilege to write.
func (db *DB) migrate(ctx context.Context, options Options, timeout time.Duration) error {
	connecting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := db.pool.Acquire(connecting)
	if err != nil {
		return err
	}
	defer conn.Release()
	version, err := db.version(connecting, conn.Conn(), options)
	if err != nil || version == len(options.Migrations) {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := db.lockSchema(ctx, tx, options, timeout); err != nil {
			return err
		}
		version, err := db.version(ctx, tx.Conn(), options)
		if err != nil || version == len(options.Migrations) {
			return err
		}
		return migrateFrom(ctx, tx, options, version)
	})
}

// lockSchema waits until no other process changes the schema, for at most timeout. It sets the same limit for the transaction's other waits
// for locks: a transaction that waits to change a table blocks all that want to read the table.
func (db *DB) lockSchema(ctx context.Context, tx pgx.Tx, options Options, timeout time.Duration) error {
	// The server, if it answers, times out first.
	waiting, cancel := context.WithTimeout(ctx, timeout+connectTimeout)
	defer cancel()
	if _, err := tx.Exec(waiting, "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', '0', true)",
		strconv.FormatInt(timeout.Milliseconds(), 10)); err != nil {
		return err
	}
	_, err := tx.Exec(waiting, "SELECT pg_advisory_xact_lock($1)", migrationLock(options.Schema))
	if codeOf(err) == lockNotAvailable {
		return unusable("%s can't be set up while another process changes schema %s: retry when that is done, or end it",
			db.name, options.Schema)
	}
	return err
}

// version returns the version of the schema, or 0 if there is none.
//
// It queries the catalog's own tables. Functions such as to_regclass remember, until their transaction ends, that there was no schema,
// although another replica has made it meanwhile.
func (db *DB) version(ctx context.Context, conn *pgx.Conn, options Options) (version int, err error) {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2)",
		options.Schema, versionTableName).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	if err := conn.QueryRow(ctx, "SELECT version FROM "+versionTable(options)).Scan(&version); err != nil {
		return 0, err
	}
	if version > len(options.Migrations) {
		return 0, unusable("%s has schema %d of %s, newer than the %d that this binary knows: run a newer binary, or name another database",
			db.name, version, options.Schema, len(options.Migrations))
	}
	return version, nil
}

func migrateFrom(ctx context.Context, tx pgx.Tx, options Options, version int) error {
	schema := pgx.Identifier{options.Schema}.Sanitize()
	if version == 0 {
		// IF NOT EXISTS would need the privilege to make a schema even if an administrator has made it.
		var exists bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)",
			options.Schema).Scan(&exists); err != nil {
			return err
		}
		if !exists {
			if _, err := tx.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "CREATE TABLE "+versionTable(options)+" (version integer NOT NULL)"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO "+versionTable(options)+" VALUES (0)"); err != nil {
			return err
		}
	}
	for step, migration := range options.Migrations[version:] {
		// A script has many statements, which only the simple protocol accepts.
		_, err := tx.Conn().PgConn().Exec(ctx, migration.Script).ReadAll()
		if err == nil && migration.Fill != nil {
			err = migration.Fill(ctx, tx)
		}
		if err != nil {
			return fmt.Errorf("bringing the schema from version %d to %d: %w", version+step, version+step+1, err)
		}
	}
	_, err := tx.Exec(ctx, "UPDATE "+versionTable(options)+" SET version = $1", len(options.Migrations))
	return err
}

// versionTableName is the name of the table whose one row holds the schema's version.
const versionTableName = "schema_version"

func versionTable(options Options) string {
	return pgx.Identifier{options.Schema, versionTableName}.Sanitize()
}

// migrationLock returns the number of the advisory lock that a process holds while it migrates a schema.
func migrationLock(schema string) int64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte("ticketbridge migration of " + schema))
	return int64(hash.Sum64())
}
