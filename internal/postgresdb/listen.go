package postgresdb

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// reconnectPause is the time between two attempts to listen.
const reconnectPause = time.Second

// Listen calls wake whenever a notification arrives on channel, and whenever one may have been missed, until ctx ends. If it can't listen,
// it retries until it succeeds. It calls onError for the first of the failed attempts in a row.
//
// Notifications are hints: they are lost while the connection is lost, so a caller that relies on them polls as well. Listen has its own
// connection, in addition to those of the pool.
func (db *DB) Listen(ctx context.Context, channel string, wake func(), onError func(error)) {
	reported := false
	for {
		err := db.listenOnce(ctx, channel, func() {
			reported = false
			wake()
		})
		if ctx.Err() != nil {
			return
		}
		if !reported {
			onError(ClassifyError(ctx, err))
		}
		reported = true
		pause(ctx, reconnectPause)
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// listenOnce listens until the connection ends, and returns the reason.
func (db *DB) listenOnce(ctx context.Context, channel string, wake func()) error {
	config, err := db.connConfig(ctx)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	for {
		wake()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

// Notify notifies the listeners of channel that there may be something new. The notification is not sent within the transaction that wrote
// something new: transactions with a notification commit one after the other, each with its wait for the disk. This one does not
// wait for the disk.
func (db *DB) Notify(ctx context.Context, channel string) error {
	return ClassifyError(ctx, db.retryOnLostConn(func() error {
		batch := &pgx.Batch{}
		batch.Queue("begin")
		batch.Queue("SET LOCAL synchronous_commit = off")
		batch.Queue("SELECT pg_notify($1, '')", channel)
		batch.Queue("commit")
		return db.pool.SendBatch(ctx, batch).Close()
	}))
}
