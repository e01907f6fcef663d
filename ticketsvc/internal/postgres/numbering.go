package postgres

// numbering is the method by which events get their sequence numbers in the log.
type numbering struct {
	// lock lets only one transaction number events, until that transaction has committed.
	lock string
	// appendEvents adds events, given as arrays, in their order.
	appendEvents string
}

// inCommitOrder makes the log's sequence grow in commit order and without gaps. docs/event-log.md has the reasons.
//
// The key of the lock is a number that belongs to the table. A separate statement reads the last sequence number after the lock is taken.
// So that statement sees everything that the previous holder of the lock has committed: PostgreSQL makes a commit visible before it
// releases the locks.
var inCommitOrder = numbering{
	lock:         "SELECT pg_advisory_xact_lock('ticketsvc.events'::regclass::oid::int, 0)",
	appendEvents: insertEvents + "(SELECT coalesce(max(sequence), 0) FROM ticketsvc.events) + e.place" + fromArrays,
}

const (
	insertEvents = `INSERT INTO ticketsvc.events (sequence, event_id, ticket_id, name, full_snapshot, occur_time, receive_time, content,
 payload, nonce) SELECT `
	fromArrays = `, e.event_id, e.ticket_id, e.name, e.full_snapshot, e.occur_time, e.receive_time, e.content, e.payload,
 (random() * 9007199254740991)::bigint
 FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::text[], $6::text[], $7::bytea[], $8::bytea[]) WITH ORDINALITY
 AS e (event_id, ticket_id, name, full_snapshot, occur_time, receive_time, content, payload, place) ORDER BY e.place`
)
