// Package logthrottle limits how often a message is logged that anybody can cause, or that an outage repeats.
package logthrottle

import (
	"sync"
	"time"
)

// Throttle lets the first occurrence of an event through at once, and then at most one per interval. Each occurrence that is let through
// comes with the number of occurrences since the previous one, so that a rate can be read from the log. It is safe for concurrent use.
type Throttle struct {
	interval time.Duration

	mu    sync.Mutex
	last  time.Time
	count int
}

// New returns a throttle that lets at most one occurrence through per interval.
func New(interval time.Duration) *Throttle { return &Throttle{interval: interval} }

// Allow counts an occurrence at now. ok reports whether to log it. count is the number of occurrences that the log line stands for,
// including this one. It is 0 if ok is false.
func (t *Throttle) Allow(now time.Time) (count int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if !t.last.IsZero() && now.Sub(t.last) < t.interval {
		return 0, false
	}
	count, t.count, t.last = t.count, 0, now
	return count, true
}

// PerKey is a [Throttle] for each key. It keeps every key that it was called with, so there must be few keys. It is safe for concurrent
// use.
type PerKey[K comparable] struct {
	interval time.Duration

	mu        sync.Mutex
	throttles map[K]*Throttle
}

// NewPerKey returns throttles that let at most one occurrence of each key through per interval.
func NewPerKey[K comparable](interval time.Duration) *PerKey[K] {
	return &PerKey[K]{interval: interval, throttles: make(map[K]*Throttle)}
}

// Allow counts an occurrence of key at now, as [Throttle.Allow] does.
func (p *PerKey[K]) Allow(key K, now time.Time) (count int, ok bool) {
	p.mu.Lock()
	throttle := p.throttles[key]
	if throttle == nil {
		throttle = New(p.interval)
		p.throttles[key] = throttle
	}
	p.mu.Unlock()
	return throttle.Allow(now)
}
