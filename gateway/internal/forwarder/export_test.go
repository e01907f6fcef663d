package forwarder

import "time"

// Gate is the forwarder's gate, for a test of the order in which calls end.
type Gate struct{ gate gate }

// NewGate returns a gate that so many failures in a row close.
func NewGate(threshold int) *Gate { return &Gate{gate{threshold: threshold, pace: probeBackoff}} }

// Failed notes a failed call, and returns whether it is news.
func (g *Gate) Failed(begun, now time.Time, misdeployed bool) bool {
	return g.gate.failed(begun, now, misdeployed, 0)
}

// Succeeded notes a call that succeeded, and returns whether it opens the gate.
func (g *Gate) Succeeded(now time.Time) bool {
	opened, _ := g.gate.succeeded(now)
	return opened
}

// IsClosed tells whether calls must wait.
func (g *Gate) IsClosed() bool {
	closed, _ := g.gate.isClosed()
	return closed
}

// Classify returns the name of the outcome of a call that ended with err.
func Classify(err error) string {
	return map[outcome]string{done: "done", unreachable: "unreachable", deferred: "deferred", misconfigured: "misconfigured",
		retryable: "retryable", permanent: "permanent"}[classify(err)]
}
