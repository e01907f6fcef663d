package forwarder

import "time"

const (
	// minFailures is the minimum number of events that fail, without a success in between, for an outage.
	minFailures = 20
	// minOutage is the minimum time without a successful call for an outage. It is longer than ticketsvc takes for nearly all calls: the calls
	// to a replica that is away can fail at once, while those to another replica are still in flight.
	minOutage = 250 * time.Millisecond
)

// breakerState is the state of a [breaker].
type breakerState uint8

const (
	// breakerClosed: all calls are made.
	breakerClosed breakerState = iota
	// breakerOpen: ticketsvc can't be reached. No calls are made except probes.
	breakerOpen
	// breakerMisconfigured: like breakerOpen, until somebody fixes the deployment.
	breakerMisconfigured
)

// breaker is a circuit breaker: it distinguishes an outage of ticketsvc from single calls that fail, and limits the calls during an outage.
//
// It opens if the calls of many events failed in a period without a success. So it stays closed if most calls fail and some succeed, for
// example while a replica is away, and the calls continue. While it is open, a call is made from time to time as a probe (half-open), and
// the first call that succeeds closes it. Probes do not wait for one another: a probe that hangs delays no other.
type breaker struct {
	state       breakerState
	succeededAt time.Time
	// failures is the number of events whose calls began after the last success and failed. failingSince is when the first of these calls
	// began.
	failures     int
	failingSince time.Time
	// cause is the reason why the breaker is open. probes is the number of probes since it opened, and probeAt is when the next probe is due.
	cause   error
	probes  int
	probeAt time.Time
}

// probed records a probe, and computes when the next one is due. random is in [0, 1).
func (b *breaker) probed(now time.Time, random float64) {
	b.probes++
	b.probeAt = now.Add(probeBackoff.after(b.probes, random))
}

// succeeded records that ticketsvc answered for an event, even if it refused the event.
func (b *breaker) succeeded(now time.Time) {
	b.state, b.cause, b.failures, b.succeededAt = breakerClosed, nil, 0, now
}

// failed records for one event that its call failed for another reason than the event. A call that began before the last success says
// nothing about the time since.
func (b *breaker) failed(begun, now time.Time, misconfigured bool, cause error) {
	if begun.Before(b.succeededAt) {
		return
	}
	if b.failures == 0 {
		b.failingSince = begun
	}
	b.failures++
	if b.failures < minFailures || now.Sub(b.failingSince) < minOutage {
		return
	}
	if b.state == breakerClosed {
		b.state, b.cause, b.probes, b.probeAt = breakerOpen, cause, 0, now
	}
	if misconfigured && b.state != breakerMisconfigured {
		b.state, b.cause = breakerMisconfigured, cause
	}
}
