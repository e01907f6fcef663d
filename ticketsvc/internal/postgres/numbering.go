package postgres

import "context"

// numbering is how events get their places in the log.
type numbering struct {
	// lock lets one transaction at a time number events, until it has committed.
	lock string
	// appendEvents adds events, given as arrays, in their order.
	appendEvents string
}

// inCommitOrder makes the log's sequence grow in commit order and without gaps. docs/event-log.md tells why it is done so.
//
// The lock is on a number that belongs to the table. The last place is read in a statement of its own behind it, which sees what the
// holder before has committed: PostgreSQL makes a commit visible before it lets go of its locks.
var inCommitOrder = numbering{
	lock:         "SELECT pg_advisory_xact_lock('ticketsvc.events'::regclass::oid::int, 0)",
	appendEvents: insertEvents + "(SELECT coalesce(max(sequence), 0) FROM ticketsvc.events) + e.place" + fromArrays,
}

const (
	insertEvents = `INSERT INTO ticketsvc.events (sequence, event_id, ticket_id, name, full_snapshot, occur_time, receive_time, content,
 payload) SELECT `
	fromArrays = `, e.event_id, e.ticket_id, e.name, e.full_snapshot, e.occur_time, e.receive_time, e.content, e.payload
 FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::text[], $6::text[], $7::bytea[], $8::bytea[]) WITH ORDINALITY
 AS e (event_id, ticket_id, name, full_snapshot, occur_time, receive_time, content, payload, place) ORDER BY e.place`
)

// evictStuck ends the session of a writer that has the lock of the log and says nothing for seconds. What it has to say behind the lock
// it sends together with it, so it is stopped, or its machine is gone, with half of that on the way.
const evictStuck = `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 AND l.classid = 'ticketsvc.events'::regclass AND l.objid = 0 AND l.objsubid = 2 AND l.granted
 AND a.wait_event = 'ClientRead' AND a.state_change < clock_timestamp() - interval '3 s'`

// evict frees the lock of the log from a writer that is stuck, so that it holds up the others for no longer than they wait for a lock.
// When that fails the next who has waited in vain tries again.
func (s *Store) evict(ctx context.Context) {
	_, _ = s.db.Pool().Exec(ctx, evictStuck)
}
