package postgres

import "github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"

// MaxScanned is maxScanned.
const MaxScanned = maxScanned

// SearchStatement returns the query for the first page of tickets with some words, newest first. If scan is set, it scans the first tickets
// of the list. Otherwise it uses the index of words.
func SearchStatement(filter ticket.Filter, limit ticket.PageLimit, scan bool) (statement string, arguments []any) {
	l := newList(filter, ticket.Order{Descending: true}, nil)
	if l.plan = byWords; scan {
		l.plan = scanningFirst
	}
	return l.statement(filterConditions(filter), " ORDER BY update_time DESC, ticket_id", ticket.NewPageBuilder(limit))
}

// NumberBySequence makes the store number events like a table with a sequence, without the lock. The sequence must exist.
func (s *Store) NumberBySequence(sequence string) {
	s.numbering = numbering{lock: "SELECT 1", appendEvents: insertEvents + "nextval('" + sequence + "')" + fromArrays}
}

// Migrations are what databases are created with.
var Migrations = migrations

// LockRollUp is the statement that prevents others from rolling up counts until the end of its transaction.
const LockRollUp = "SELECT pg_advisory_xact_lock('ticketsvc.ticket_counts'::regclass::oid::int, 0)"

// GroupStats is the statement for a filter that selects all groups.
const GroupStats = groupStats + groupStatsEnd

// RollUpEvery is the number of batches after which a store rolls up counts.
const RollUpEvery = rollUpEvery

// LockLog is the statement that locks the log until the end of its transaction.
var LockLog = inCommitOrder.lock

// The statements of the feed, and the number of tickets that a part of a snapshot reads.
const (
	LastPosition   = lastPosition
	PositionAt     = positionAt
	PositionsAt    = positionsAt
	MeasureBefore  = measureBefore
	ReadBefore     = readBefore
	ReadErasures   = readErasures
	SnapshotBound  = snapshotBound
	SnapshotStride = snapshotStride
)

var ReadLog = readLog
