package forwarder

import (
	"context"
	"time"
)

// The limits of calls.
const (
	MaxCalls, MaxEvents          = maxCalls, maxEvents
	MaxRequestBytes, MaxElements = maxRequestBytes, maxElements
)

// SingleCallsPeriod is how long every event is called alone.
const SingleCallsPeriod = singleCallsPeriod

// IsUnsent reports whether the call that ended with err was not sent.
func IsUnsent(err error) bool { return isUnsent(err) }

// Classify returns the name of the class of the error of a call that ended with err.
func Classify(err error) string {
	return map[outcomeClass]string{done: "done", unreachable: "unreachable", deferred: "deferred", misconfigured: "misconfigured",
		retryable: "retryable", permanent: "permanent", unknownBatch: "unknown batch"}[classify(err)]
}

// Breaker is the forwarder's circuit breaker.
type Breaker struct{ breaker breaker }

// NewBreaker returns a closed breaker.
func NewBreaker() *Breaker { return &Breaker{} }

// Failed records a call that failed.
func (b *Breaker) Failed(begun, now time.Time, misconfigured bool) {
	b.breaker.failed(begun, now, misconfigured, nil)
}

// Succeeded records a call that succeeded.
func (b *Breaker) Succeeded(now time.Time) { b.breaker.succeeded(now) }

// State returns the name of the state.
func (b *Breaker) State() string {
	return map[breakerState]string{breakerClosed: "closed", breakerOpen: "open", breakerMisconfigured: "misconfigured"}[b.breaker.state]
}

// Check does one check of the reconciler.
func (r *Reconciler) Check(ctx context.Context) bool { return r.check(ctx) }

// Replay takes steps of a replay until it is over.
func (r *Reconciler) Replay(ctx context.Context) { r.replay(ctx, ctx) }
