package postgresdb

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Querier runs queries.
type Querier interface {
	// Query is like that of a [pgx.Conn].
	Query(ctx context.Context, statement string, arguments ...any) (pgx.Rows, error)
	// QueryRow is like that of a [pgx.Conn].
	QueryRow(ctx context.Context, statement string, arguments ...any) pgx.Row
}

// Query runs f, which reads over one connection, and reads all of each answer. Only ctx bounds it. f is retried from its beginning if its
// connection was lost. Query works while the database is read-only too. The error is f's own, or one of the database as [ClassifyError]
// returns it.
func (db *DB) Query(ctx context.Context, f func(q Querier) error) error {
	return db.reading(ctx, func() error {
		return db.retryOnLostConn(func() error {
			conn, err := db.acquireForReading(ctx)
			if err != nil {
				return err
			}
			defer conn.Release()
			return f(conn)
		})
	})
}

// Read runs f in a transaction that sees the database as it is at one moment, and can't change it. Read works while the database is
// read-only too. Only ctx bounds it. The error is f's own, or one of the database as [ClassifyError] returns it.
func (db *DB) Read(ctx context.Context, f func(tx pgx.Tx) error) error {
	return db.reading(ctx, func() error {
		var conn *pgxpool.Conn
		var tx pgx.Tx
		// f itself is not retried.
		if err := db.retryOnLostConn(func() (err error) {
			if conn, err = db.acquireForReading(ctx); err != nil {
				return err
			}
			if tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}); err != nil {
				conn.Release()
			}
			return err
		}); err != nil {
			return err
		}
		defer conn.Release()
		// There is nothing to commit.
		defer func() { _ = tx.Rollback(ctx) }()
		return f(tx)
	})
}

const (
	// reservedForWrites is the number of connections that reads do not use. With them a call that writes gets a connection, however many calls
	// read.
	reservedForWrites = 2
	// reservedForShortReads is the number of the other connections that long reads do not use.
	reservedForShortReads = 4
)

// Long runs f, which reads by [DB.Query] or [DB.Read] and may take long. It waits while too many others do so, so that connections are left
// for other reads. With fewer than 4 connections none are left. The error is f's own, or ctx's.
func (db *DB) Long(ctx context.Context, f func() error) error {
	if err := db.longReads.Acquire(ctx, 1); err != nil {
		return ClassifyError(ctx, err)
	}
	defer db.longReads.Release(1)
	return f()
}

// reading runs f, which reads over one connection, after a connection for reads is free.
func (db *DB) reading(ctx context.Context, f func() error) error {
	if err := db.reads.Acquire(ctx, 1); err != nil {
		return ClassifyError(ctx, err)
	}
	defer db.reads.Release(1)
	return ClassifyError(ctx, f())
}
