package webhook

import (
	"sync"
	"time"
)

// noticePeriod is how often the same notice is given at the most.
const noticePeriod = time.Minute

// notice limits how often something is said that anybody can cause. It is said the first time, and then with how often it happened since.
type notice struct {
	mu    sync.Mutex
	last  time.Time
	count int
}

// happened notes that it happened at now, and returns whether to say so, and how often it happened since that was last said.
func (n *notice) happened(now time.Time) (say bool, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count++
	if !n.last.IsZero() && now.Sub(n.last) < noticePeriod {
		return false, 0
	}
	count, n.count, n.last = n.count, 0, now
	return true, count
}
