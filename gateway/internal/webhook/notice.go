package webhook

import (
	"sync"
	"time"
)

// notice limits how often something is said that anybody can cause, or that goes on and on. It is said the first time, and then with how
// often it happened since.
type notice struct {
	// period is how often it is said at the most.
	period time.Duration

	mu    sync.Mutex
	last  time.Time
	count int
}

// happened notes that it happened at now, and returns whether to say so, and how often it happened since that was last said.
func (n *notice) happened(now time.Time) (say bool, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count++
	if !n.last.IsZero() && now.Sub(n.last) < n.period {
		return false, 0
	}
	count, n.count, n.last = n.count, 0, now
	return true, count
}
