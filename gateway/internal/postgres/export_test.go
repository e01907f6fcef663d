package postgres

// The statements whose plans are tested.
const (
	ByIndex      = byIndex
	Claim        = claim
	Forward      = forward
	Finish       = finish
	NextDue      = nextDue
	Replay       = replayStep
	FindExisting = findExisting
	LockExisting = lockExisting
)

// From returns the due times from which on the next claim looks, except if that claim looks at all due deliveries.
func (s *Store) From() (fresh, tried int64) { return s.floor.last() }

// Migrations are the steps of the schema.
var Migrations = migrations
