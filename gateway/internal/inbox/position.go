package inbox

import (
	"math"
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

// Replay is the progress of a replay. A replay makes the forwarded deliveries pending again that ticketsvc's log may have lost.
type Replay struct {
	// Requeued is the total number of deliveries that are pending again. WithoutBody is the number of deliveries that stay forwarded because
	// their body was deleted.
	Requeued, WithoutBody int
	// Done is set if no replay is running any more. Ended is set if this step ended the replay: if there are several gateways, only one of
	// them takes the last step.
	Done, Ended bool
}

// ReplayCursor is the position of a replay. A replay goes from the newest delivery to the oldest, because the log has mostly lost new
// events. If another loss is noticed meanwhile, Through is set to Before: the replay then continues to the oldest delivery, and from the
// newest down to Through. So it does not start again.
type ReplayCursor struct {
	// Before is the id of the last delivery that was covered. Deliveries with lower ids are next. At the newest delivery it is the largest
	// int64.
	Before int64
	// Through is the id of the last delivery to cover. If Through is not smaller than Before, the replay continues with the newest delivery
	// after the oldest.
	Through int64
}

// Lowest returns the lowest id that the replay covers before it ends or continues with the newest delivery.
func (c ReplayCursor) Lowest() int64 {
	if c.goesRound() {
		return 0
	}
	return c.Through
}

// Next returns the cursor after the replay has covered the deliveries down to the id last, or, if all is set, down to
// [ReplayCursor.Lowest]. It returns false if the replay is over.
func (c ReplayCursor) Next(last int64, all bool) (next ReplayCursor, more bool) {
	if !all {
		return ReplayCursor{Before: last, Through: c.Through}, last != c.Through || c.goesRound()
	}
	return ReplayCursor{Before: math.MaxInt64, Through: c.Through}, c.goesRound() && c.Through < math.MaxInt64
}

func (c ReplayCursor) goesRound() bool { return c.Through >= c.Before }

const (
	// ReasonReplayed is the reason of a delivery that a replay made pending.
	ReasonReplayed = "ticketsvc's log may have lost the event: it is forwarded again"
	// ReplayDeferrals is the number of deferrals that a replay sets for a delivery. The delivery's attempts begin at 0. Deliveries that were
	// never tried are claimed first, so a replay of millions does not delay new deliveries.
	ReplayDeferrals = 1
	// MaxReplayScan is the maximum number of deliveries that one step of a replay reads.
	MaxReplayScan = 20_000

	// replaySlack is how much earlier than a checkpoint's time a replay begins. It covers the differences between the clocks of several
	// gateways, and the time until a settlement is written.
	replaySlack = 2 * time.Minute
	// maxClockDifference is the maximum difference between the clocks of several gateways.
	maxClockDifference = time.Minute
)

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

// Checked returns the change to make if ticketsvc's log held all positions: next replaces them. The newest of the earlier checkpoints of
// each minute is kept for an hour, of each hour for a day, and of each day for two months.
func (p *LogPositions) Checked(next Checkpoint, now time.Time) PositionsChange {
	change := PositionsChange{Drop: p.uncheckedIDs(), Add: &next}
	// The checkpoints of several gateways, whose clocks differ, are not in the order of their times.
	taken := map[slot]bool{slotOf(next.ForwardedBefore, now): true}
	for _, c := range p.Checkpoints {
		s := slotOf(c.ForwardedBefore, now)
		if taken[s] || s.length == 0 {
			change.Drop = append(change.Drop, c.ID)
		}
		taken[s] = true
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

// slot is a period from which one checkpoint is kept. Its length is 0 for a time from which none is kept.
type slot struct {
	start  time.Time
	length time.Duration
}

func slotOf(t, now time.Time) slot {
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
	return slot{start: t.Truncate(max(length, 1)), length: length}
}

// ForwardedPositions returns the positions of settlements to [Forwarded], each once. A store keeps them as unchecked positions.
func ForwardedPositions(settlements []Settlement) []LogPosition {
	var positions []LogPosition
	seen := map[LogPosition]struct{}{}
	for i := range settlements {
		p := settlements[i].Position
		if _, known := seen[p]; known || settlements[i].State != Forwarded || p == (LogPosition{}) {
			continue
		}
		seen[p] = struct{}{}
		positions = append(positions, p)
	}
	return positions
}
