package postgres

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
 payload, nonce) SELECT `
	fromArrays = `, e.event_id, e.ticket_id, e.name, e.full_snapshot, e.occur_time, e.receive_time, e.content, e.payload,
 (random() * 9007199254740991)::bigint
 FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::text[], $6::text[], $7::bytea[], $8::bytea[]) WITH ORDINALITY
 AS e (event_id, ticket_id, name, full_snapshot, occur_time, receive_time, content, payload, place) ORDER BY e.place`
)
