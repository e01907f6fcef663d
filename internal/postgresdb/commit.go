package postgresdb

import (
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// emitMessage writes a message that nobody reads to the write-ahead log. It gives the transaction an id and a record in the log: only such
// a transaction waits at its commit for the disk and for the synchronous standbys. It changes no table, and waits for no lock.
const emitMessage = "SELECT pg_logical_emit_message(true, 'ticketbridge', '')"

// QueueCommit queues the commit of a transaction for [DB.Write]. wrote reports whether the transaction has written anything.
//
// A transaction that found everything done already acknowledges the commit of another transaction. The standby may lack that commit: the
// other transaction's wait was cut off, or is repeated because its connection was lost. So this transaction waits for the standby as well.
// The commit that it found precedes its own message in the write-ahead log, so a standby that confirms the message has both.
func QueueCommit(batch *pgx.Batch, wrote bool) {
	if !wrote {
		batch.Queue(emitMessage)
	}
	batch.Queue("commit")
}

// errUnconfirmed is the error of a commit whose wait for the standby was cut off.
var errUnconfirmed = fmt.Errorf("%w: the wait for the synchronous standby was cancelled, and the standby may lack the commit",
	ErrUnavailable)

// waitRoutine is PostgreSQL's function that waits for the standbys. A wait that is cancelled ends with success, and with a warning that has
// this routine name. Only the name identifies the warning: its code (01000) is that of any warning, and its text is in the server's
// language.
const waitRoutine = "SyncRepWaitForLSN"

// recordUnconfirmed records, for [DB.Write], the server's warning that the wait for the standby was cancelled.
func recordUnconfirmed(conn *pgconn.PgConn, notice *pgconn.Notice) {
	if notice.Routine != waitRoutine {
		return
	}
	if s, ok := conn.CustomData()[sessionKey].(*session); ok {
		s.unconfirmed = true
	}
}
