// Package forwarder brings pending deliveries from the inbox to ticketsvc: claim → map → call → finish.
//
// One goroutine claims, maps and finishes. A few calls are in flight at the same time. A single event that is due is called at once, and
// the events that become due meanwhile share the next call. An event that was deferred, or that failed, is called alone, so that it neither
// delays nor harms another.
//
// The table of error classes is in classify.go. An outage of ticketsvc pauses everything and uses up no attempts. An event that fails
// because of itself is retried alone, and is dead in the end. Events are forwarded in no order, and need none.
//
// In addition, a [Reconciler] checks that ticketsvc's log still holds what was forwarded.
package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// Inbox is what the forwarder needs of the inbox.
type Inbox interface {
	Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]inbox.Delivery, error)
	Finish(ctx context.Context, now time.Time, outcomes []inbox.Outcome) (lost int, err error)
	NextDue(ctx context.Context) (time.Time, bool, error)
	Wake() <-chan struct{}
}

// Client is what the forwarder needs of ticketsvc.
type Client interface {
	TicketCreated(context.Context, *ticketv1.TicketCreatedRequest) (*ticketv1.TicketCreatedResponse, error)
	TicketUpdated(context.Context, *ticketv1.TicketUpdatedRequest) (*ticketv1.TicketUpdatedResponse, error)
	RecordTicketEvents(context.Context, *ticketv1.RecordTicketEventsRequest) (*ticketv1.RecordTicketEventsResponse, error)
}

// Options are the forwarder's limits, and its sources of time and randomness.
type Options struct {
	// CallTimeout is the deadline of one call.
	CallTimeout time.Duration
	// MaxAttempts is the number of calls that may fail because of the event itself. After that its delivery is dead.
	MaxAttempts int
	// FutureTolerance is how much later than its receipt an event may be dated. 0 allows any date.
	FutureTolerance time.Duration
	// Now is the clock. Random returns random numbers in [0, 1).
	Now    func() time.Time
	Random func() float64
	// Log is the log for operators.
	Log *slog.Logger
}

const (
	// maxCalls is the number of calls in flight at which nothing more is claimed. Events that are called alone do not count. A call that takes
	// longer than slowCall does not count either, so that calls that hang do not delay others. The number of calls, slow or not, is at most
	// maxSlowCalls.
	maxCalls, maxSlowCalls = 4, 64
	slowCall               = 250 * time.Millisecond
	// maxEvents is the maximum number of events of a claim, and so of a call. It is also the maximum number of events that are called alone at
	// the same time. A claim takes fewer while some are called alone, because each delivery that it finds may be one of that kind.
	maxEvents = 256
	// maxRequestBytes and maxElements bound a call of several events. ticketsvc accepts more (package elements), and a proxy in between 1 MiB
	// if nobody configured it (nginx). A larger event is called alone.
	maxRequestBytes, maxElements = 960 << 10, 16_000
	// singleCallsPeriod is how long every event is called alone after ticketsvc did not know RecordTicketEvents.
	singleCallsPeriod = 5 * time.Minute
	// leaseReserve is how long mapping a claimed delivery and writing its outcome may take before another worker may claim it. Deliveries that
	// a gateway had claimed when it died wait that much longer. A delivery that takes longer is forwarded once more, which does no harm.
	leaseReserve = 10 * time.Second
	// pollInterval is the maximum time that the forwarder sleeps, and so the maximum delay after a missed wake-up.
	pollInterval = time.Second
	// maxOutcomes is the number of outcomes at which a transaction is written without waiting for more.
	maxOutcomes = 512
	// announceInterval is the minimum time between two logs of the same state of the circuit breaker.
	announceInterval = 10 * time.Second
	// deferralWarnInterval and failureWarnInterval are the minimum times between two logs of deferred events, and of failed calls.
	deferralWarnInterval, failureWarnInterval = 10 * time.Second, time.Minute
)

var (
	// probeBackoff is for the time between two probes of an outage. It bounds how late the end of the outage is noticed.
	probeBackoff = backoff{base: 50 * time.Millisecond, limit: time.Second}
	// outageBackoff is for a delivery whose call failed for another reason than the event.
	outageBackoff = backoff{base: 200 * time.Millisecond, limit: 200 * time.Millisecond}
	// deferralBackoff is for a delivery that can't be forwarded for another reason than the event itself, while others can.
	deferralBackoff = backoff{base: 250 * time.Millisecond, limit: 15 * time.Second}
	// attemptBackoff is for a delivery that fails because of the event itself.
	attemptBackoff = backoff{base: time.Second, limit: 10 * time.Minute}
)

// Forwarder forwards deliveries. [New] makes one. Everything except the calls runs in the goroutine of [Forwarder.Run].
type Forwarder struct {
	inbox   Inbox
	client  Client
	options Options
	breaker breaker
	// ended receives the calls that ended. calls are the calls in flight, except those of events that are called alone. alone is the number of
	// events that are called alone and in flight.
	ended chan *call
	calls map[*call]struct{}
	alone int
	// singleUntil is the time until which every event is called alone, because ticketsvc did not know RecordTicketEvents.
	singleUntil time.Time
	// claimFailed is set if the last claim failed. announced is the state of the circuit breaker that was logged last. pausedAt is the time
	// when the log reported that forwarding is paused.
	claimFailed bool
	announced   breakerState
	pausedAt    time.Time

	// failureWarnings and deferralWarnings limit logs that an outage repeats.
	failureWarnings, deferralWarnings *logthrottle.Throttle
	// announcements limit how often each state of the circuit breaker is logged.
	announcements *logthrottle.PerKey[breakerState]
	// formWarnings limit how often each form of a field is logged.
	formWarnings *logthrottle.PerKey[event.Finding]
}

// New returns a forwarder from the inbox to ticketsvc. [Forwarder.Run] starts it.
func New(from Inbox, client Client, options Options) *Forwarder {
	return &Forwarder{
		inbox:            from,
		client:           client,
		options:          options,
		ended:            make(chan *call, maxEvents),
		calls:            map[*call]struct{}{},
		failureWarnings:  logthrottle.New(failureWarnInterval),
		deferralWarnings: logthrottle.New(deferralWarnInterval),
		announcements:    logthrottle.NewPerKey[breakerState](announceInterval),
		formWarnings:     logthrottle.NewPerKey[event.Finding](formInterval),
	}
}

// Run forwards until ctx ends. Then it claims no more, waits for the calls in flight, writes their outcomes, and returns.
func (f *Forwarder) Run(ctx context.Context) {
	for ctx.Err() == nil {
		f.announce(false)
		f.wait(ctx, f.forwardDue(ctx))
	}
	for len(f.calls)+f.alone > 0 {
		f.finish(ctx, <-f.ended)
	}
	f.announce(true)
}

// forwardDue claims the due deliveries and begins their calls. It returns the time at which there is more to do, if no call ends before.
//
// While the circuit breaker is open it claims one delivery at a time, as a probe: the inbox prefers one that was never tried, so events
// that always fail do not hide the end of the outage. Nothing else is claimed then, so an outage costs few writes.
func (f *Forwarder) forwardDue(ctx context.Context) (next time.Time) {
	open, now, limit := f.breaker.state != breakerClosed, f.options.Now(), maxEvents-f.alone
	switch {
	case open && now.Before(f.breaker.probeAt):
		return f.breaker.probeAt
	case open:
		limit = 1
	case limit <= 0 || len(f.calls) >= maxSlowCalls:
		return now.Add(pollInterval)
	default:
		if full, until := f.isFull(now); full {
			return until
		}
	}
	deliveries := f.claim(ctx, limit)
	if len(deliveries) == 0 {
		return f.nextDue(ctx)
	}
	if open {
		f.breaker.probed(now, f.options.Random())
	}
	f.forward(ctx, deliveries, open || now.Before(f.singleUntil))
	return now
}

// isFull reports whether maxCalls calls that are not slow are in flight. until is the time until which that stays so if no call ends.
func (f *Forwarder) isFull(now time.Time) (full bool, until time.Time) {
	count, until := 0, now.Add(pollInterval)
	for c := range f.calls {
		if slowAt := c.begun.Add(slowCall); slowAt.After(now) {
			count++
			if slowAt.Before(until) {
				until = slowAt
			}
		}
	}
	return count >= maxCalls, until
}

// claim claims up to limit deliveries.
func (f *Forwarder) claim(ctx context.Context, limit int) []inbox.Delivery {
	// A claim that is cut off may have been made anyway. Then its deliveries would be left alone until the leases end.
	deliveries, err := f.inbox.Claim(context.WithoutCancel(ctx), f.options.Now(), f.lease(), limit)
	switch claimFailed := err != nil; {
	case claimFailed == f.claimFailed:
	case claimFailed:
		f.options.Log.Error("pending deliveries can't be read: forwarding waits until they can", "error", err)
	default:
		f.options.Log.Info("pending deliveries can be read again: forwarding resumed")
	}
	f.claimFailed = err != nil
	return deliveries
}

// lease returns how long a claim holds.
func (f *Forwarder) lease() time.Duration { return f.options.CallTimeout + leaseReserve }

// forward maps the deliveries and begins their calls: one call for each event that is called alone, and shared calls for the others.
func (f *Forwarder) forward(ctx context.Context, deliveries []inbox.Delivery, allAlone bool) {
	var together []mappedEvent
	var uncalled []inbox.Outcome
	bytes, elements := 0, 0
	for _, delivery := range deliveries {
		e, err := f.mapEvent(delivery)
		switch {
		case err != nil:
			uncalled = append(uncalled, markDead(delivery, err.Error()))
		case ctx.Err() != nil:
			uncalled = append(uncalled, requeue(delivery, f.options.Now()))
		case allAlone || delivery.Attempts+delivery.Deferrals > 0:
			f.startCall(ctx, []mappedEvent{e}, true)
		default:
			bytes, elements = bytes+e.bytes, elements+e.elements
			if len(together) > 0 && (bytes > maxRequestBytes || elements > maxElements) {
				f.startCall(ctx, together, false)
				together, bytes, elements = nil, e.bytes, e.elements
			}
			together = append(together, e)
		}
	}
	if len(together) > 0 {
		f.startCall(ctx, together, false)
	}
	if len(uncalled) > 0 {
		f.write(ctx, uncalled)
	}
}

// nextDue returns the time when there may be something to claim.
func (f *Forwarder) nextDue(ctx context.Context) time.Time {
	next := f.options.Now().Add(pollInterval)
	// While claims fail, a due delivery must not make the claims follow one another without a pause.
	if !f.claimFailed {
		if due, pending, err := f.inbox.NextDue(ctx); err == nil && pending && due.Before(next) {
			return due
		}
	}
	return next
}

// wait waits until the time until, until there may be something new to claim, until ctx ends, or until a call ends. It finishes a call that
// ended.
func (f *Forwarder) wait(ctx context.Context, until time.Time) {
	timer := time.NewTimer(until.Sub(f.options.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.inbox.Wake():
	case c := <-f.ended:
		f.finish(ctx, c)
	case <-ctx.Done():
	}
}

// announce logs whether forwarding is paused if that differs from the last log. Changes that follow one another too quickly are left out,
// except the last one, so that the last line is right a moment later, or when forwarding has ended.
func (f *Forwarder) announce(ended bool) {
	state, cause := f.breaker.state, f.breaker.cause
	if state == f.announced {
		return
	}
	now := f.options.Now()
	if _, ok := f.announcements.Allow(state, now); !ok && !ended {
		return
	}
	if f.announced == breakerClosed {
		f.pausedAt = now
	}
	f.announced = state
	switch state {
	case breakerClosed:
		f.options.Log.Info("ticketsvc answers again: forwarding resumed", "paused_for", now.Sub(f.pausedAt).Round(time.Millisecond))
	case breakerMisconfigured:
		f.options.Log.Error("ticketsvc refuses every event: forwarding is paused until the deployment is fixed (is the URL ticketsvc's, "+
			"the token right and of the scope ingest, the certificate trusted, ticketsvc new enough?)",
			"code", connect.CodeOf(cause), "error", cause)
	default:
		f.options.Log.Warn("ticketsvc can't be reached: forwarding is paused, deliveries are kept", "code", connect.CodeOf(cause), "error", cause)
	}
}

// write writes outcomes. While the database is unavailable it retries, for as long as a lease: nothing else could be done meanwhile.
// Deliveries whose outcome is not written are forwarded once more after their leases have ended.
func (f *Forwarder) write(ctx context.Context, batch []inbox.Outcome) {
	giveUp := f.options.Now().Add(f.lease())
	for tries := 1; ; tries++ {
		lost, err := f.inbox.Finish(context.Background(), f.options.Now(), batch)
		switch {
		case err == nil && lost > 0:
			f.options.Log.Warn("outcomes came after another worker took the deliveries over", "count", lost)
			return
		case err == nil:
			return
		case !errors.Is(err, inbox.ErrUnavailable) || f.options.Now().After(giveUp) || ctx.Err() != nil:
			f.options.Log.Error("outcomes can't be written; the events are retried", "count", len(batch), "error", err)
			return
		case tries == 1:
			f.options.Log.Error("outcomes can't be written yet", "count", len(batch), "error", err)
		}
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
		}
	}
}
