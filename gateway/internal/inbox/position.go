package inbox

import (
	"math"
	"slices"
	"time"
)

// LogPosition is a position of ticketsvc's event log, as ticketsvc names it. A log that holds a position holds everything up to it. The
// zero value means that none is known.
type LogPosition struct {
	// DatabaseID is the id of ticketsvc's database: 16 bytes.
	DatabaseID string
	// Sequence is the number of the last entry.
	Sequence int64
	// Fingerprint identifies that entry.
	Fingerprint uint64
}

// Checkpoint is a position that ticketsvc's log held, with what the inbox had forwarded by then.
type Checkpoint struct {
	// ID is the store's number for it; 0 before it is stored.
	ID int64
	// Position is the last position of the log when it held every position of the deliveries that were forwarded before.
	Position LogPosition
	// ForwardedBefore is the time before which deliveries were forwarded that a log holding Position holds. The zero time means that nothing
	// is known of any.
	ForwardedBefore time.Time
}

// UncheckedPosition is a position of a forwarded delivery that was not looked for in ticketsvc's log since.
type UncheckedPosition struct {
	// ID is the store's number for it.
	ID int64
	// Position is that of the delivery, or of several.
	Position LogPosition
}

// LogPositions is what a store knows of ticketsvc's log.
type LogPositions struct {
	// Unchecked are the oldest positions that were not looked for, in the order in which they came.
	Unchecked []UncheckedPosition
	// Checkpoints are those that are kept, the newest first.
	Checkpoints []Checkpoint
	// Replaying says that a replay is not over.
	Replaying bool
}

// PositionsChange is a change of what a store knows of ticketsvc's log. All of it is one transaction.
type PositionsChange struct {
	// Drop are the ids of unchecked positions and of checkpoints that go.
	Drop []int64
	// Add is a new checkpoint; nil for none.
	Add *Checkpoint
	// ReplaySince begins a replay of the deliveries that were forwarded at that time or later, where their bodies are kept; nil for none. The
	// zero time means all. While another replay runs, that one goes on, with the earlier time of the two, and looks once more at the
	// deliveries that it has looked at.
	ReplaySince *time.Time
}

// Replay is how far a replay has come: the forwarded deliveries that ticketsvc's log may have lost are made pending again.
type Replay struct {
	// Requeued is how many are pending again, in all, and WithoutBody how many stay forwarded because their body is gone.
	Requeued, WithoutBody int
	// Done says that no replay runs any more, and Ended that it is this step that ended it: of several gateways one takes the last step.
	Done, Ended bool
}

// ReplayCursor is where a replay looks next. It goes from the newest delivery to the oldest, because what the log lost is mostly new. A
// loss that is noticed meanwhile sets Through to Before: from there the replay goes round once more, and it begins nothing anew.
type ReplayCursor struct {
	// Before is the id of the last delivery that it looked at; those before it are next. It is the largest int64 at the newest delivery.
	Before int64
	// Through is the id of the last delivery to look at. Where that is no smaller than Before, the replay goes on with the newest delivery
	// after the oldest.
	Through int64
}

// Lowest returns the lowest id that the replay looks at before it ends or goes on with the newest delivery.
func (c ReplayCursor) Lowest() int64 {
	if c.goesRound() {
		return 0
	}
	return c.Through
}

// Next returns the cursor after the replay looked at the deliveries down to the id last, or at all down to [ReplayCursor.Lowest]. It
// returns false when the replay is over.
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
	// ReplayDeferrals is the number of deferrals that a replay gives a delivery, whose attempts begin at 0: deliveries that were never tried
	// go first, so a replay of millions holds up nothing new.
	ReplayDeferrals = 1
	// MaxReplayScan is how many deliveries one step of a replay looks at, at most.
	MaxReplayScan = 20_000

	// replaySlack is how much earlier than a checkpoint's time a replay begins. It covers the differences between the clocks of several
	// gateways, and the time that a settlement may take to be written.
	replaySlack = 2 * time.Minute
	// maxClockDifference is how much the clocks of several gateways may differ.
	maxClockDifference = time.Minute
)

// ClockSetBack returns what to do when checkpoints are later than now, because the clock was set back since; false when none are.
// Deliveries that are forwarded from now on would look as if these checkpoints covered them. So the position of the newest becomes one of
// now.
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

// NextCheckpoint returns the checkpoint that stands after the log held the newest checkpoint's position and the unchecked ones, all of them
// or the oldest. last is the log's last position by then, and asked is a time before the unchecked positions were read.
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

// Diverged returns what to do when ticketsvc's log does not hold all positions any more: what was forwarded since the newest checkpoint
// that it holds is replayed. missing are positions that it does not hold; every checkpoint was looked for.
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

// Checked returns what to do when ticketsvc's log held all positions: next takes their place. Of the earlier checkpoints the newest of each
// minute is kept for an hour, of each hour for a day, and of each day for two months.
func (p *LogPositions) Checked(next Checkpoint, now time.Time) PositionsChange {
	change := PositionsChange{Drop: p.uncheckedIDs(), Add: &next}
	// Checkpoints of several gateways, whose clocks differ, are not in the order of their times.
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

// Thinned returns what to do when more positions are unchecked than can be kept, because ticketsvc's log can't be looked at: every other
// one goes. The positions that stay show nearly every loss, since a log holds everything up to a position that it holds.
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

// slot is a span of time of which one checkpoint is kept. Its length is 0 for a time of which none is.
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

// ForwardedPositions returns the positions of settlements to [Forwarded], each once: what a store keeps as unchecked.
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
