package postgresdb

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Querier runs statements that read.
type Querier interface {
	// Query is as that of a [pgx.Conn].
	Query(ctx context.Context, statement string, arguments ...any) (pgx.Rows, error)
	// QueryRow is as that of a [pgx.Conn].
	QueryRow(ctx context.Context, statement string, arguments ...any) pgx.Row
}

// Query runs f, which reads over one connection, and reads all of each answer. ctx alone bounds it. f starts from the beginning when it
// is run again, because its connection was lost. It works while the database is read-only, too. The error is f's own, or one of the
// database as [Translate] gives it.
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

// Read runs f in a transaction that sees the database as it is at one moment, and can't change it. It works while the database is
// read-only, too. ctx alone bounds it. The error is f's own, or one of the database as [Translate] gives it.
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

// BeginTx is as the pool's. The connection is kept for release.
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
	// notForReads is how many connections reads leave alone, so that there is one for each call that writes, however many read: the one that
	// records, and one more.
	notForReads = 2
	// notForLongReads is how many of the others long reads leave alone.
	notForLongReads = 4
)

// Long runs f, which reads by [DB.Query] or [DB.Read] in a way that may take long, once fewer do so than leave connections for other reads.
// With fewer than 4 connections there are none to leave. The error is f's own, or ctx's.
func (db *DB) Long(ctx context.Context, f func() error) error {
	if err := db.longReads.Acquire(ctx, 1); err != nil {
		return Translate(ctx, err)
	}
	defer db.longReads.Release(1)
	return f()
}

// reading runs f, which reads over one connection, once there is one that reads may have.
func (db *DB) reading(ctx context.Context, f func() error) error {
	if err := db.reads.Acquire(ctx, 1); err != nil {
		return Translate(ctx, err)
	}
	defer db.reads.Release(1)
	return Translate(ctx, f())
}
