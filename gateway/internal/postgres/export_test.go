package postgres

// The statements whose plans are tested.
const (
	ByIndex  = byIndex
	Claim    = claim
	Forward  = forward
	Settle   = settle
	NextDue  = nextDue
	Replay   = replayStep
	FindKept = findKept
	LockKept = lockKept
)

// From returns from which due times on the next claim looks, unless it looks at everything.
func (s *Store) From() (fresh, tried int64) { return s.front.last() }

// Migrations are the steps of the schema.
var Migrations = migrations
