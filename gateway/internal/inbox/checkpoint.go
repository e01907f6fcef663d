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
