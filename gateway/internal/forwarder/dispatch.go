package forwarder

import (
	"context"
	"slices"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// call is a claimed delivery on its way to ticketsvc.
type call struct {
	delivery inbox.Delivery
	// startBy is when the call must begin at the latest, for its outcome to be written while the lease holds. It goes by the wall clock, as
	// leases do.
	startBy time.Time
	// probe says that the call is made although the circuit breaker is open.
	probe bool
}

// dispatch claims what is due and hands it to the callers, until ctx ends. While the circuit breaker is open it hands out probes only. What
// was claimed before waits in memory, so that an outage costs no writes.
func (f *Forwarder) dispatch(ctx context.Context) {
	var waiting []call
	for ctx.Err() == nil {
		waiting = f.collect(waiting)
		f.announce(false)
		state, probeAt, _ := f.breaker.status()
		open, now := state != breakerClosed, f.options.Now()
		switch {
		case open && now.Before(probeAt):
			f.sleep(ctx, probeAt)
		case open && len(f.work) > 0:
			// No caller is free, so a probe would wait, and might not be the best one any more when its turn comes.
			f.sleep(ctx, now.Add(probeBackoff.base))
		case !open && len(waiting) > 0:
			for _, c := range waiting {
				f.work <- c
			}
			waiting = nil
		case len(waiting) == 0 && !f.hasRoom():
			f.sleep(ctx, now.Add(pollInterval))
		case open:
			if probe, rest, ok := f.takeProbe(ctx, waiting); ok {
				waiting = rest
				f.breaker.probed(now, f.options.Random())
				f.work <- probe
			} else {
				f.sleepUntilDue(ctx)
			}
		default:
			calls := f.claim(ctx, f.options.Concurrency)
			for _, c := range calls {
				f.work <- c
			}
			if len(calls) == 0 {
				f.sleepUntilDue(ctx)
			}
		}
	}
	for _, c := range waiting {
		f.work <- c // The callers requeue it.
	}
}

// collect adds the calls that are held to those that wait, and drops those whose lease is about to end.
func (f *Forwarder) collect(waiting []call) []call {
	for len(f.held) > 0 {
		waiting = append(waiting, <-f.held)
	}
	if len(waiting) == 0 {
		return nil
	}
	now := f.options.Now()
	return slices.DeleteFunc(waiting, func(c call) bool {
		late := now.After(c.startBy)
		if late {
			f.claimed.Add(-1)
		}
		return late
	})
}

// takeProbe returns the call to probe an outage with, and those that wait without it: one of an event that was never tried, where there is
// one, so that events that always fail do not hide the end of the outage.
func (f *Forwarder) takeProbe(ctx context.Context, waiting []call) (probe call, rest []call, ok bool) {
	at := slices.IndexFunc(waiting, func(c call) bool { return c.delivery.Attempts+c.delivery.Deferrals == 0 })
	if at < 0 && f.hasRoom() {
		waiting = append(f.claim(ctx, 1), waiting...)
	}
	at = max(at, 0)
	if at >= len(waiting) {
		return call{}, nil, false
	}
	probe = waiting[at]
	probe.probe = true
	return probe, slices.Delete(waiting, at, at+1), true
}

// claim claims up to limit deliveries.
func (f *Forwarder) claim(ctx context.Context, limit int) []call {
	now := f.options.Now()
	// A claim that is cut off may have been made all the same, and then nobody would have those deliveries until the leases end.
	deliveries, err := f.inbox.Claim(context.WithoutCancel(ctx), now, f.lease(), limit)
	f.noteReading(err)
	startBy := now.Add(claimsPerCall * f.options.CallTimeout).Round(0)
	calls := make([]call, 0, len(deliveries))
	for _, delivery := range deliveries {
		calls = append(calls, call{delivery: delivery, startBy: startBy})
	}
	f.claimed.Add(int64(len(calls)))
	return calls
}

// noteReading notes whether pending deliveries could be read, and logs when that changes.
func (f *Forwarder) noteReading(err error) {
	switch unreadable := err != nil; {
	case unreadable == f.unreadable:
	case unreadable:
		f.options.Log.Error("pending deliveries can't be read: forwarding waits until they can", "error", err)
	default:
		f.options.Log.Info("pending deliveries can be read again: forwarding goes on")
	}
	f.unreadable = err != nil
}

// do makes a call and passes on its outcome, except where the call comes too late or must wait.
func (f *Forwarder) do(ctx context.Context, c call) {
	switch now := f.options.Now(); {
	case now.After(c.startBy):
		// Somebody else may claim it while the call is made. It is claimed again when the lease has ended.
		f.release(1)
	case ctx.Err() != nil:
		f.outcomes <- requeue(c.delivery, now)
	case !c.probe && f.breaker.isOpen():
		f.held <- c
		f.noteProgress()
	default:
		f.outcomes <- f.forward(ctx, c.delivery)
	}
}

// hasRoom reports whether another claim may be made. A claim costs about the same for one delivery as for many, so it waits until there is
// room for a good number.
func (f *Forwarder) hasRoom() bool {
	return f.claimed.Load() <= int64((claimsPerCall-1)*f.options.Concurrency)
}

// release notes that deliveries are finished. Those that were deferred may be due sooner than anything known before.
func (f *Forwarder) release(count int) {
	f.claimed.Add(-int64(count))
	if f.hasRoom() {
		f.noteProgress()
	}
}

// noteProgress makes [Forwarder.dispatch] look for something to do.
func (f *Forwarder) noteProgress() {
	select {
	case f.progress <- struct{}{}:
	default:
	}
}

// lease is how long a claim holds.
func (f *Forwarder) lease() time.Duration {
	return (claimsPerCall+1)*f.options.CallTimeout + leaseReserve
}

// sleepUntilDue sleeps until there may be something to claim, or ctx ends.
func (f *Forwarder) sleepUntilDue(ctx context.Context) {
	until := f.options.Now().Add(pollInterval)
	// While claims fail, something that is due must not make them follow one another without a pause.
	if !f.unreadable {
		if due, pending, err := f.inbox.NextDue(ctx); err == nil && pending && due.Before(until) {
			until = due
		}
	}
	f.sleep(ctx, until)
}

// sleep sleeps until then, until there may be something to do sooner, or ctx ends.
func (f *Forwarder) sleep(ctx context.Context, until time.Time) {
	timer := time.NewTimer(until.Sub(f.options.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.inbox.Wake():
	case <-f.progress:
	case <-ctx.Done():
	}
}
