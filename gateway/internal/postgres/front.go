package postgres

import (
	"math"
	"sync"
	"time"
)

const (
	// lookBackPeriod is the time between two claims that look at everything.
	lookBackPeriod = time.Second
	// slack is how much later a delivery may be there than another one that is due as long, and be found at once all the same. It covers
	// the time that a commit takes.
	slack = 2 * time.Second
)

// front says from which due time on it is worth looking for deliveries.
//
// Wherever a delivery was claimed or settled PostgreSQL leaves a dead entry in the index of what is due, until it vacuums the table: once
// a minute at best, and not at all while anyone keeps a transaction open. All of them lie before what is due next, hundreds of thousands
// after a minute under load, and a claim from the very beginning takes some 3 ms to step over each 100,000. So claims begin shortly before
// the earliest delivery that the last one found. What lies further back, because it took long to commit or another gateway was about to
// claim it and died, is found by a claim from the very beginning, once a second.
type front struct {
	mu sync.Mutex
	// fresh and tried are for the deliveries that were never tried, and for the others; in nanoseconds since the epoch.
	fresh, tried int64
	lookedBack   time.Time
}

// at returns from where on a claim at now has to look.
func (f *front) at(now time.Time) (fresh, tried int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.lookedBack); since < 0 || since >= lookBackPeriod {
		f.lookedBack = now
		f.fresh, f.tried = math.MinInt64, math.MinInt64
	}
	return f.fresh, f.tried
}

// last returns what at returned last, or what was found since.
func (f *front) last() (fresh, tried int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fresh, f.tried
}

// found notes what a claim at now found: the due times of the earliest deliveries, [math.MaxInt64] where there were none. all says that it
// had room for more: then nothing else is due before now.
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
