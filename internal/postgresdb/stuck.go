package postgresdb

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// stuckPoll is the time between two searches for stuck sessions that block a write.
	stuckPoll = 500 * time.Millisecond
	// stuckTimeout bounds one of these searches.
	stuckTimeout = time.Second
)

// terminateStuckQuery terminates the stuck sessions that block the session of process $1, directly or through others that wait. A session
// is stuck if it is of this package, by [SessionMark], and has waited for 3 s for the rest of a message, or for its client to read the
// answer. The query returns the process id, the application name, the seconds since the session is stuck, and true if it was terminated.
//
// A session whose other end is only slow to begin its next message is idle within its transaction. There is a setting for such sessions,
// and they are not among the stuck ones.
const terminateStuckQuery = `WITH RECURSIVE blocking (pid) AS (
  SELECT unnest(pg_blocking_pids($1))
  UNION SELECT unnest(pg_blocking_pids(b.pid)) FROM blocking b
 ), stuck AS MATERIALIZED (
  SELECT a.pid, a.application_name, extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS seconds
  FROM blocking JOIN pg_stat_activity a USING (pid)
  WHERE a.usename = session_user AND a.state = 'active' AND a.wait_event IN ('ClientRead', 'ClientWrite')
  AND a.state_change < clock_timestamp() - interval '3 s'
  AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.database = a.datid AND l.objsubid = 2
   AND l.classid = $2 AND l.objid = 0)
 )
 SELECT pid, application_name, seconds, pg_terminate_backend(pid) FROM stuck`

// keepTerminatingStuckSessions terminates the stuck sessions that block the session of process pid, until stop is called. They belong to
// replicas that are stopped, or whose machine is gone, with half a message on the way. No setting of the server terminates them: its
// timeouts for transactions do not run within a message, and the kernel of a stopped process still answers for it.
//
// A session that only seems to be stuck loses nothing: its [DB.Write] finds the connection lost, and retries all of its work.
func (db *DB) keepTerminatingStuckSessions(ctx context.Context, pid int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		ticker := time.NewTicker(stuckPoll)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				db.terminateStuckSessions(ctx, pid)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		looking.Wait()
	}
}

// terminateStuckSessions searches once. If it fails, the next search or the next writer retries it.
func (db *DB) terminateStuckSessions(ctx context.Context, pid int) {
	// The writer ends ctx as soon as it is no longer blocked, but the terminated sessions must still be logged.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stuckTimeout)
	defer cancel()
	rows, err := db.pool.Query(ctx, terminateStuckQuery, pid, SessionMark)
	if err != nil {
		return
	}
	var stuck int
	var application string
	var seconds float64
	var terminated bool
	_, _ = pgx.ForEachRow(rows, []any{&stuck, &application, &seconds, &terminated}, func() error {
		db.log.WarnContext(ctx, "terminated a stuck database session that blocked a write: look whether its process hangs or its machine is gone",
			"pid", stuck, "application_name", application, "age", time.Duration(seconds*float64(time.Second)).Round(time.Millisecond))
		return nil
	})
}
