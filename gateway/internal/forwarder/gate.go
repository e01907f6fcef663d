package forwarder

import (
	"sync"
	"time"
)

// gate tells an outage of ticketsvc from the failure of one event, and paces the calls during an outage.
//
// It is open while calls succeed. A few failures in a row, with no success between, close it; then a call goes through now and then as a
// probe, and the first that succeeds opens it again. Probes do not wait for one another: one that hangs holds up no other.
type gate struct {
	// threshold is how many failures in a row close it.
	threshold int
	pace      backoff

	mu       sync.Mutex
	failures int // in a row
	closed   bool
	// misdeployed says that it is closed, and that somebody has been told to mend the deployment.
	misdeployed bool
	closedAt    time.Time
	probeAt     time.Time
	// openedAt is when it was opened again.
	openedAt time.Time
}

// isClosed tells whether calls must wait for a probe to succeed, and when the next probe is due.
func (g *gate) isClosed() (closed bool, probeAt time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed, g.probeAt
}

// probed notes that a probe is on its way, and so when the next is due.
func (g *gate) probed(now time.Time, random float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probeAt = now.Add(g.pace.after(g.failures, random))
}

// succeeded notes a call that ticketsvc answered as it should. It returns for how long the gate was closed when this opens it.
func (g *gate) succeeded(now time.Time) (opened bool, closedFor time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures = 0
	if !g.closed {
		return false, 0
	}
	g.closed, g.misdeployed, g.openedAt = false, false, now
	return true, now.Sub(g.closedAt)
}

// failed notes a call that failed by no fault of its event; misdeployed says that no other call can do better until the deployment
// is mended. It returns whether this is news: it closes the gate, or is the first to say so since something else closed it. A call that
// began before the gate was opened again tells nothing of what is since then.
func (g *gate) failed(begun, now time.Time, misdeployed bool, random float64) (news bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if begun.Before(g.openedAt) {
		return false
	}
	g.failures++
	if !g.closed && (misdeployed || g.failures >= g.threshold) {
		g.closed, g.closedAt, news = true, now, true
		g.probeAt = now.Add(g.pace.after(g.failures, random))
	}
	if misdeployed && !g.misdeployed {
		g.misdeployed, news = true, true
	}
	return news
}
