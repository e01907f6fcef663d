package postgres

import (
	"math"
	"sync"
	"time"
)

const (
	// lookBackPeriod is the time between two claims that look at all due deliveries.
	lookBackPeriod = time.Second
	// slack is the maximum delay with which a delivery that becomes visible later than another one with the same due time is still found at
	// once. It covers the duration of a commit.
	slack = 2 * time.Second
)

// front computes from which due time on a claim looks for deliveries.
//
// Each delivery that was claimed or settled leaves a dead entry in PostgreSQL's index of due deliveries, until the table is vacuumed: at
// best once a minute, and not at all while anyone keeps a transaction open. All dead entries are before the next due delivery, hundreds of
// thousands after a minute under load. A claim from the beginning of the index takes about 3 ms to skip 100,000 of them. So claims begin
// shortly before the earliest delivery that the last claim found. A delivery may be further back, because it took long to commit or a
// gateway that was about to claim it died. Once a second a claim from the beginning finds such deliveries.
type front struct {
	mu sync.Mutex
	// fresh is for the deliveries that were never tried, and tried for the others. In nanoseconds since the epoch.
	fresh, tried int64
	lookedBack   time.Time
}

// at returns the due times from which on a claim at now has to look.
func (f *front) at(now time.Time) (fresh, tried int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.lookedBack); since < 0 || since >= lookBackPeriod {
		f.lookedBack = now
		f.fresh, f.tried = math.MinInt64, math.MinInt64
	}
	return f.fresh, f.tried
}

// last returns the last result of at, or newer values that were set by found.
func (f *front) last() (fresh, tried int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fresh, f.tried
}

// found records the result of a claim at now: the due times of the earliest deliveries, [math.MaxInt64] if there were none. all is set if
// the claim was not full. Then nothing else is due before now.
func (f *front) found(now time.Time, fresh, tried int64, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if all {
		fresh, tried = min(fresh, now.UnixNano()), min(tried, now.UnixNano())
	}
	if fresh != math.MaxInt64 {
		f.fresh = fresh - int64(slack)
	}
	if tried != math.MaxInt64 {
		f.tried = tried - int64(slack)
	}
}
