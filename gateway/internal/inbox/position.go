package inbox

import (
	"slices"
	"time"
)

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

// maxClockDifference is the maximum difference between the clocks of several gateways.
const maxClockDifference = time.Minute

// ClockSetBack returns the change to make if checkpoints are later than now, because the clock was set back since. It returns false if none
// are. These checkpoints would seem to cover deliveries that are forwarded from now on. So the position of the newest checkpoint becomes
// one of now.
func (p *LogPositions) ClockSetBack(now time.Time) (change PositionsChange, ok bool) {
	for i, c := range p.Checkpoints {
		if c.ForwardedBefore.Sub(now) <= maxClockDifference {
			continue
		}
		change.Drop = append(change.Drop, c.ID)
		if i == 0 {
			change.Add = &Checkpoint{Position: c.Position, ForwardedBefore: now}
		}
	}
	return change, len(change.Drop) > 0
}

// NextCheckpoint returns the new checkpoint after the log held the newest checkpoint's position and the unchecked positions. all is set if
// these were all unchecked positions, not only the oldest. last is the log's last position at that time. asked is a time before the
// unchecked positions were read.
func (p *LogPositions) NextCheckpoint(last LogPosition, asked time.Time, all bool) Checkpoint {
	c := Checkpoint{Position: last}
	switch {
	case all:
		c.ForwardedBefore = asked
	case len(p.Checkpoints) > 0:
		c.ForwardedBefore = p.Checkpoints[0].ForwardedBefore
	}
	return c
}

// Checked returns the change to make if ticketsvc's log held all positions: next replaces them. The newest of the earlier checkpoints of
// each minute is kept for an hour, of each hour for a day, and of each day for two months.
func (p *LogPositions) Checked(next Checkpoint, now time.Time) PositionsChange {
	change := PositionsChange{Drop: p.uncheckedIDs(), Add: &next}
	// The checkpoints of several gateways, whose clocks differ, are not in the order of their times.
	taken := map[retentionPeriod]bool{retentionPeriodOf(next.ForwardedBefore, now): true}
	for _, c := range p.Checkpoints {
		p := retentionPeriodOf(c.ForwardedBefore, now)
		if taken[p] || p.length == 0 {
			change.Drop = append(change.Drop, c.ID)
		}
		taken[p] = true
	}
	return change
}

// Diverged returns the change to make if ticketsvc's log does not hold all positions any more. The deliveries that were forwarded since the
// newest checkpoint that the log holds are replayed. missing are positions that the log does not hold. Every checkpoint must have been
// looked up.
func (p *LogPositions) Diverged(missing []LogPosition) PositionsChange {
	change := PositionsChange{Drop: p.uncheckedIDs(), ReplaySince: &time.Time{}}
	for _, c := range p.Checkpoints {
		if slices.Contains(missing, c.Position) {
			change.Drop = append(change.Drop, c.ID)
		} else if since := c.ForwardedBefore; change.ReplaySince.IsZero() && !since.IsZero() {
			*change.ReplaySince = since.Add(-replaySlack)
		}
	}
	return change
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
