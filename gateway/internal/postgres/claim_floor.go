package postgres

import (
	"math"
	"sync"
	"time"
)

const (
	// fullScanInterval is the time between two claims that look at all due deliveries.
	fullScanInterval = time.Second
	// commitSlack is how much later than another delivery with the same due time a delivery may become visible and still be found at once. It
	// covers the duration of a commit.
	commitSlack = 2 * time.Second
)

// claimFloor computes from which due time on a claim looks for deliveries.
//
// Each delivery that was claimed or finished leaves a dead entry in PostgreSQL's index of due deliveries, until the table is vacuumed: at
// best once a minute, and not at all while anyone keeps a transaction open. All dead entries are before the next due delivery, hundreds of
// thousands after a minute under load. A claim from the beginning of the index takes about 3 ms to skip 100,000 of them. So claims begin
// shortly before the earliest delivery that the last claim found. A delivery may be further back, because it took long to commit or a
// gateway that was about to claim it died. Once a second a claim from the beginning finds such deliveries.
type claimFloor struct {
	mu sync.Mutex
	// fresh is the floor for deliveries that were never tried, and tried for the others, in nanoseconds since the epoch.
	fresh, tried int64
	lastFullScan time.Time
}

// at returns the due times from which on a claim at now has to look.
func (f *claimFloor) at(now time.Time) (fresh, tried int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.lastFullScan); since < 0 || since >= fullScanInterval {
		f.lastFullScan = now
		f.fresh, f.tried = math.MinInt64, math.MinInt64
	}
	return f.fresh, f.tried
}

// last returns the last result of at, or newer values that were set by record.
func (f *claimFloor) last() (fresh, tried int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fresh, f.tried
}

// record records the result of a claim at now: the due times of the earliest deliveries, [math.MaxInt64] if there were none. all is set if
// the claim was not full. Then nothing else is due before now.
func (f *claimFloor) record(now time.Time, fresh, tried int64, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if all {
		fresh, tried = min(fresh, now.UnixNano()), min(tried, now.UnixNano())
	}
	if fresh != math.MaxInt64 {
		f.fresh = fresh - int64(commitSlack)
	}
	if tried != math.MaxInt64 {
		f.tried = tried - int64(commitSlack)
	}
}
