package postgresdb

import (
	"context"
	"time"
)

// endTimeout bounds the ending of sessions that are stuck.
const endTimeout = time.Second

// endStuckSessions ends the sessions of this user in this database that are in a transaction, and for seconds have waited for the rest of
// what the other end was saying, or for it to take their answer.
//
// Whoever is only slow to begin its next message is idle within its transaction, for which there is a setting, and is not among them. A
// session that has written nothing and locked no row may wait for its reader for as long as it likes: a backup does.
const endStuckSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND usename = session_user AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND state = 'active'
 AND (wait_event = 'ClientRead' OR wait_event = 'ClientWrite' AND backend_xid IS NOT NULL)
 AND state_change < clock_timestamp() - interval '3 s'`

// endStuck frees what replicas have locked that are stopped, or whose machine is gone, with half a message on the way. No setting of the
// server does: its bounds on transactions do not run within a message, and a stopped process's kernel answers for it. It is for who has
// waited in vain for a lock. When it fails, the next one who has tries again.
//
// A session that only seems to be stuck comes to no harm: its [DB.Write] finds the connection lost, and does all of it again.
func (db *DB) endStuck(ctx context.Context) {
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	_, _ = db.pool.Exec(ending, endStuckSessions)
}
