package postgres

// NumberBySequence makes the store number events as a table with a sequence would, without the lock. The sequence is to be made before.
func (s *Store) NumberBySequence(sequence string) {
	s.numbering = numbering{lock: "SELECT 1", appendEvents: insertEvents + "nextval('" + sequence + "')" + fromArrays}
}

// Migrations are what databases are made by.
var Migrations = migrations

// LockFolding is the statement that keeps others from folding until the end of its transaction.
const LockFolding = "SELECT pg_advisory_xact_lock('ticketsvc.ticket_counts'::regclass::oid::int, 0)"

// GroupStats is the statement for a filter that selects all groups.
const GroupStats = groupStats + groupStatsEnd

// FoldEvery is after how many batches a store folds.
const FoldEvery = foldEvery

// LockLog is the statement that locks the log until the end of its transaction.
var LockLog = inCommitOrder.lock
