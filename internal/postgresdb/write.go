package postgresdb

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Write runs f, which changes something in one transaction, and retries it after a conflict with another writer. After a lock timeout, the
// retry terminates the sessions of stuck processes that block it.
//
// f sends "begin" with its first batch and "commit" with its last, so that a transaction takes as few round trips to the server as it has
// steps. f starts from the beginning each time, and must do no harm if it is done twice: the answer to a commit can be lost with the
// connection, and then f is retried. It returns each error that it gets: after an error PostgreSQL accepts a "commit", but rolls
// back. If f may find nothing to write, it commits by [QueueCommit].
//
// All of it takes at most 10 s. The error is f's own, or one of the database as [ClassifyError] returns it. It is nil only after the
// synchronous standbys, if there are any, have confirmed the commit.
func (db *DB) Write(ctx context.Context, f func(ctx context.Context, conn *pgx.Conn) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, db.writeTimeout)
	defer cancel()
	reconnected, blocked := false, false
	for conflicts := 0; ; {
		err := db.writeOnce(bounded, blocked, f)
		switch {
		case err == nil:
			return nil
		case isConflict(err) && conflicts < maxConflicts:
			conflicts++
		case isLostConnection(err) && bounded.Err() == nil && !reconnected:
			// The server hangs, or it went away or came back after the last use of the connection. The other connections are as old.
			reconnected = true
			db.reset()
		case codeOf(err) == lockNotAvailable && bounded.Err() == nil && !blocked:
			blocked = true
		default:
			if codeOf(err) == diskFull {
				full := err
				db.full.Store(&full)
			}
			return ClassifyError(ctx, err)
		}
	}
}

// maxConflicts is the maximum number of conflicts with other writers. After each conflict one writer succeeds, so of n writers the last one
// to succeed had n-1 conflicts.
const maxConflicts = 50

// writeOnce runs f once. blocked is set if it had a lock timeout before.
func (db *DB) writeOnce(ctx context.Context, blocked bool, f func(ctx context.Context, conn *pgx.Conn) error) (err error) {
	ctx, hang := db.watchForHang(ctx)
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errHung) {
			err = errHung
		}
		hang.stop()
	}()
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	session := sessionOf(conn.Conn())
	hang.server.Store(&session.server)
	if blocked {
		defer db.keepTerminatingStuckSessions(ctx, session.pid)()
	}
	session.unconfirmed = false
	err = f(ctx, conn.Conn())
	if err == nil && session.unconfirmed {
		return errUnconfirmed
	}
	if conn.Conn().PgConn().TxStatus() == 'I' {
		return err
	}
	// The transaction must be rolled back even if ctx has ended: otherwise the pool would close the connection.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, rollbackErr := conn.Exec(ending, "rollback"); err == nil {
		// Nothing was committed, and f returned no error.
		err = errors.Join(errors.New("postgresdb: the transaction was left open"), rollbackErr)
	}
	return err
}

// retryOnLostConn runs f. If the connection was lost since it was last used, it retries f once with a new connection.
func (db *DB) retryOnLostConn(f func() error) error {
	err := f()
	if isLostConnection(err) {
		db.reset()
		err = f()
	}
	return err
}

// reset makes the pools replace each connection before it is used again.
func (db *DB) reset() {
	db.pool.Reset()
	db.health.Reset()
}
