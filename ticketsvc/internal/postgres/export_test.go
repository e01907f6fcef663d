package postgres

// NumberBySequence makes the store number events as a table with a sequence would, without the lock. The sequence is to be made before.
func (s *Store) NumberBySequence(sequence string) {
	s.numbering = numbering{lock: "SELECT 1", appendEvents: insertEvents + "nextval('" + sequence + "')" + fromArrays}
}

// LockLog is the statement that locks the log until the end of its transaction.
var LockLog = inCommitOrder.lock

// Migrations are what databases are made by.
var Migrations = migrations

// The statements of the feed, and how many tickets a part of a walk looks at.
const (
	LastMark   = lastMark
	MarkAt     = markAt
	ReadBefore = readBefore
	WalkBound  = walkBound
	WalkStride = walkStride
)

var ReadLog = readLog
