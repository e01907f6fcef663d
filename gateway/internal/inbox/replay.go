package inbox

import (
	"math"
	"time"
)

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

// Advance returns the cursor after the replay has covered the deliveries down to the id last. It returns false if the replay is over.
func (c ReplayCursor) Advance(last int64) (next ReplayCursor, more bool) {
	return ReplayCursor{Before: last, Through: c.Through}, last != c.Through || c.goesRound()
}

// Wrap returns the cursor after the replay has covered all deliveries down to [ReplayCursor.Lowest]: it continues with the newest delivery.
// It returns false if the replay is over.
func (c ReplayCursor) Wrap() (next ReplayCursor, more bool) {
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
	// gateways, and the time until an outcome is written.
	replaySlack = 2 * time.Minute
)
