package forwarder

import (
	"math"
	"time"
)

// backoff computes the delay between tries: a random time between zero and an upper bound that doubles with each try ("full jitter"), so
// that tries that failed together are not repeated together.
type backoff struct {
	// base is the bound of the first delay, limit the highest bound.
	base, limit time.Duration
}

// after returns the delay after the given number of failed tries, at least 1. random is in [0, 1).
func (b backoff) after(tries int, random float64) time.Duration {
	bound := float64(b.base) * math.Pow(2, float64(max(0, tries-1)))
	return time.Duration(random * min(bound, float64(b.limit)))
}
