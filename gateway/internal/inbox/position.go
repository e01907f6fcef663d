package inbox

import "time"

// LogPosition is a position of ticketsvc's event log, as ticketsvc returns it. A log that holds a position holds everything up to it. The
// zero value means that no position is known.
type LogPosition struct {
	// DatabaseID is the id of ticketsvc's database: 16 bytes.
	DatabaseID string
	// Sequence is the number of the entry at the position.
	Sequence int64
	// Fingerprint identifies that entry.
	Fingerprint uint64
}

// UncheckedPosition is the position of a forwarded delivery that has not been looked up in ticketsvc's log since.
type UncheckedPosition struct {
	// ID is the store's number of the position.
	ID int64
	// Position is the position of one delivery, or of several.
	Position LogPosition
}

// LogPositions is what a store knows about ticketsvc's log.
type LogPositions struct {
	// Unchecked are the oldest unchecked positions, in the order in which they were added.
	Unchecked []UncheckedPosition
	// Checkpoints are the stored checkpoints, the newest first.
	Checkpoints []Checkpoint
	// Replaying is set if a replay is running.
	Replaying bool
}

// PositionsChange is a change of what a store knows about ticketsvc's log. All of it is one transaction.
type PositionsChange struct {
	// Drop are the ids of unchecked positions and of checkpoints to delete.
	Drop []int64
	// Add is a new checkpoint, or nil.
	Add *Checkpoint
	// ReplaySince begins a replay of the deliveries that were forwarded at that time or later and whose bodies are kept. Nil for none. The
	// zero time means all deliveries. If another replay is running, that one continues with the earlier of the two times, and covers once more
	// the deliveries that it has already covered.
	ReplaySince *time.Time
}

// Thinned returns the change to make if more positions are unchecked than can be kept, because ticketsvc's log can't be read: every other
// position is dropped. The remaining positions show nearly every loss, because a log that holds a position holds everything up to it.
func (p *LogPositions) Thinned() PositionsChange {
	var change PositionsChange
	for i := 0; i < len(p.Unchecked); i += 2 {
		change.Drop = append(change.Drop, p.Unchecked[i].ID)
	}
	return change
}

func (p *LogPositions) uncheckedIDs() []int64 {
	ids := make([]int64, 0, len(p.Unchecked))
	for _, u := range p.Unchecked {
		ids = append(ids, u.ID)
	}
	return ids
}

// ForwardedPositions returns the positions of outcomes to [Forwarded], each once. A store keeps them as unchecked positions.
func ForwardedPositions(outcomes []Outcome) []LogPosition {
	var positions []LogPosition
	seen := map[LogPosition]struct{}{}
	for i := range outcomes {
		p := outcomes[i].Position
		if _, known := seen[p]; known || outcomes[i].State != Forwarded || p == (LogPosition{}) {
			continue
		}
		seen[p] = struct{}{}
		positions = append(positions, p)
	}
	return positions
}
