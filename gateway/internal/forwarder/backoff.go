package forwarder

import (
	"math"
	"time"
)

// backoff says how long to wait between tries: a random time between nothing and an upper bound that doubles with each try ("full
// jitter"), so that what failed together does not come back together.
type backoff struct {
	// base is the bound for the first wait, limit the highest one.
	base, limit time.Duration
}

// after returns how long to wait after the given number of failed tries, at least 1. random is in [0, 1).
func (b backoff) after(tries int, random float64) time.Duration {
	bound := float64(b.base) * math.Pow(2, float64(max(0, tries-1)))
	return time.Duration(random * min(bound, float64(b.limit)))
}
