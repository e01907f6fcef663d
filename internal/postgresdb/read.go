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

// Query runs f, which reads over one connection, and reads all of each answer. Only ctx bounds it. f is run again, from its beginning, if
// its connection was lost. Query works while the database is read-only too. The error is f's own, or one of the database as [Translate]
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
// read-only too. Only ctx bounds it. The error is f's own, or one of the database as [Translate] returns it.
func (db *DB) Read(ctx context.Context, f func(tx pgx.Tx) error) error {
	return db.reading(ctx, func() error {
		b := &beginner{db: db}
		defer b.release()
		return pgx.BeginTxFunc(ctx, b, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, f)
	})
}

// beginner begins a transaction on a connection that is not lost.
type beginner struct {
	db   *DB
	conn *pgxpool.Conn
}

// BeginTx is like that of the pool. It keeps the connection for release.
func (b *beginner) BeginTx(ctx context.Context, options pgx.TxOptions) (tx pgx.Tx, err error) {
	err = b.db.retryOnLostConn(func() (err error) {
		b.release()
		if b.conn, err = b.db.acquireForReading(ctx); err != nil {
			return err
		}
		tx, err = b.conn.BeginTx(ctx, options)
		return err
	})
	return tx, err
}

func (b *beginner) release() {
	if b.conn != nil {
		b.conn.Release()
	}
}

const (
	// notForReads is the number of connections that reads do not use. So each call that writes has one, however many calls read: the one that
	// records, and one more.
	notForReads = 2
	// notForLongReads is the number of the other connections that long reads do not use.
	notForLongReads = 4
)

// Long runs f, which reads by [DB.Query] or [DB.Read] and may take long. It waits while too many others do so, so that connections are left
// for other reads. With fewer than 4 connections none are left. The error is f's own, or ctx's.
func (db *DB) Long(ctx context.Context, f func() error) error {
	if err := db.longReads.Acquire(ctx, 1); err != nil {
		return Translate(ctx, err)
	}
	defer db.longReads.Release(1)
	return f()
}

// reading runs f, which reads over one connection, after a connection for reads is free.
func (db *DB) reading(ctx context.Context, f func() error) error {
	if err := db.reads.Acquire(ctx, 1); err != nil {
		return Translate(ctx, err)
	}
	defer db.reads.Release(1)
	return Translate(ctx, f())
}
