package forwarder

import "time"

const (
	// minFailures is how many events can't be recorded, without one that is recorded in between, before that is an outage.
	minFailures = 20
	// minOutage is for how long no call must succeed before that is an outage. It is longer than ticketsvc takes for nearly all calls: those
	// of a replica that is away can fail in no time, and those of another one are still on their way.
	minOutage = 250 * time.Millisecond
)

// breakerState is the state of a [breaker].
type breakerState uint8

const (
	// breakerClosed: all calls are made.
	breakerClosed breakerState = iota
	// breakerOpen: ticketsvc can't be reached. No calls are made except probes.
	breakerOpen
	// breakerMisconfigured: as breakerOpen, until somebody fixes the deployment.
	breakerMisconfigured
)

// breaker is a circuit breaker: it distinguishes an outage of ticketsvc from single calls that fail, and paces the calls during an outage.
//
// It opens when calls of many events failed in a time without a success. So it stays closed when most calls fail and some succeed, as while
// a replica is away, and those go on. While it is open a call goes out now and then as a probe (it is half-open then), and the first call
// that succeeds closes it. Probes do not wait for one another: one that hangs delays no other.
type breaker struct {
	state       breakerState
	succeededAt time.Time
	// failures counts the events of calls that began after the last success and failed. failingSince is when the first of them began.
	failures     int
	failingSince time.Time
	// cause is why it is open. probes counts the probes since then, and probeAt is when the next is due.
	cause   error
	probes  int
	probeAt time.Time
}

// probed notes that a probe is on its way, and so when the next is due. random is in [0, 1).
func (b *breaker) probed(now time.Time, random float64) {
	b.probes++
	b.probeAt = now.Add(probeBackoff.after(b.probes, random))
}

// succeeded notes that ticketsvc answered for an event, whatever it said of the event.
func (b *breaker) succeeded(now time.Time) {
	b.state, b.cause, b.failures, b.succeededAt = breakerClosed, nil, 0, now
}

// failed notes for one event that its call failed by no fault of the event's. A call that began before the last success says nothing of the
// time since.
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
