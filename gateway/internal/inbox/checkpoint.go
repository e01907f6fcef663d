package inbox

import "time"

// Checkpoint is a position that ticketsvc's log held, with the time before which forwarded deliveries are covered.
type Checkpoint struct {
	// ID is the store's number of the checkpoint. 0 before it is stored.
	ID int64
	// Position is the last position of the log at a time when the log held every position of the deliveries that were forwarded before.
	Position LogPosition
	// ForwardedBefore is a time. Deliveries that were forwarded before it are held by every log that holds Position. The zero time means that
	// nothing is known about any delivery.
	ForwardedBefore time.Time
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

// retentionPeriod is a period from which one checkpoint is kept. Its length is 0 for a time from which none is kept.
type retentionPeriod struct {
	start  time.Time
	length time.Duration
}

func retentionPeriodOf(t, now time.Time) retentionPeriod {
	const day = 24 * time.Hour
	length := time.Duration(0)
	switch age := now.Sub(t); {
	case age < time.Hour:
		length = time.Minute
	case age < day:
		length = time.Hour
	case age < 60*day:
		length = day
	}
	return retentionPeriod{start: t.Truncate(max(length, 1)), length: length}
}
