// Package forwarder brings pending deliveries from the inbox to ticketsvc.
//
// It claims deliveries in batches, has many calls in flight, and writes their outcomes in batches. What an outcome means stands in one
// table (outcome.go): an outage of ticketsvc pauses everything and costs no delivery anything, while an event that fails by its own
// fault is retried, and in the end dead, on its own. No order is kept and none is needed.
//
// Beside it a [Reconciler] checks that ticketsvc's log still holds what was forwarded.
package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/translate"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// Inbox is what the forwarder needs of the inbox.
type Inbox interface {
	Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]inbox.Delivery, error)
	Settle(ctx context.Context, now time.Time, settlements []inbox.Settlement) (lost int, err error)
	NextDue(ctx context.Context) (time.Time, bool, error)
	Wake() <-chan struct{}
}

// Client is what the forwarder needs of ticketsvc.
type Client interface {
	TicketCreated(context.Context, *ticketv1.TicketCreatedRequest) (*ticketv1.TicketCreatedResponse, error)
	TicketUpdated(context.Context, *ticketv1.TicketUpdatedRequest) (*ticketv1.TicketUpdatedResponse, error)
}

// Options are the forwarder's bounds, and what it takes time and chance from.
type Options struct {
	// Concurrency is how many calls are in flight at most.
	Concurrency int
	// CallTimeout is the deadline of one call.
	CallTimeout time.Duration
	// MaxAttempts is how many calls may fail by the event's own fault before its delivery is dead.
	MaxAttempts int
	// FutureTolerance is how far ahead of its receipt an event may be dated; 0 lets any date pass.
	FutureTolerance time.Duration
	// Now and Random (in [0, 1)) are the clock and the dice.
	Now    func() time.Time
	Random func() float64
	// Log receives what operators should know.
	Log *slog.Logger
}

const (
	// claimsPerCall is how many deliveries are claimed for each call that may be in flight, so that no call waits for the database.
	claimsPerCall = 4
	// leaseReserve is how long a claimed delivery may take to be settled, beyond the calls that it waits for and its own, before another
	// may claim it. What a gateway had claimed when it died waits that much longer; what takes longer to be settled is forwarded once
	// more, which does no harm.
	leaseReserve = 5 * time.Second
	// pollInterval is how long the forwarder sleeps at most: a missed wake-up costs no more than that.
	pollInterval = time.Second
	// maxOutcomes is how many outcomes are written in one transaction at most.
	maxOutcomes = 512
	// announceInterval is how often the same change of the circuit breaker is logged at most.
	announceInterval = 10 * time.Second
	// deferralWarnInterval and failureWarnInterval are how often events that are deferred, and calls that fail, are logged at most.
	deferralWarnInterval, failureWarnInterval = 10 * time.Second, time.Minute
)

var (
	// probeBackoff is for the time between two probes of an outage, and so bounds how late its end is noticed.
	probeBackoff = backoff{base: 50 * time.Millisecond, limit: time.Second}
	// outageBackoff is for a delivery whose call failed by no fault of its own.
	outageBackoff = backoff{base: 200 * time.Millisecond, limit: 200 * time.Millisecond}
	// deferralBackoff is for a delivery that can't get through by no fault of its own while others do.
	deferralBackoff = backoff{base: 250 * time.Millisecond, limit: 15 * time.Second}
	// attemptBackoff is for a delivery that fails by its own fault.
	attemptBackoff = backoff{base: time.Second, limit: 10 * time.Minute}
)

// Forwarder forwards deliveries. Make one with [New].
type Forwarder struct {
	inbox   Inbox
	client  Client
	options Options
	breaker breaker

	work     chan call
	outcomes chan inbox.Settlement
	// held has the calls that may not be made now because the circuit breaker opened after they were handed out.
	held chan call
	// progress receives when there may be something to do for [Forwarder.dispatch].
	progress chan struct{}
	// claimed is how many deliveries are claimed and not yet finished. Only [Forwarder.dispatch] adds to it.
	claimed atomic.Int64

	// failureWarnings and deferralWarnings limit what an outage repeats.
	failureWarnings, deferralWarnings *logthrottle.Throttle
	// announcements limit how often each state of the circuit breaker is logged.
	announcements *logthrottle.PerKey[breakerState]
	// formWarnings limit how often each form of a field is logged.
	formWarnings *logthrottle.PerKey[translate.Finding]
	// The rest is for [Forwarder.dispatch] only. unreadable says that the last claim failed. announced is the state that was logged last, and
	// pausedAt when it was logged that forwarding is paused.
	unreadable bool
	announced  breakerState
	pausedAt   time.Time
}

// New returns a forwarder from the inbox to ticketsvc. Start it with [Forwarder.Run].
func New(from Inbox, client Client, options Options) *Forwarder {
	claims := claimsPerCall * options.Concurrency
	return &Forwarder{
		inbox:            from,
		client:           client,
		options:          options,
		work:             make(chan call, claims),
		outcomes:         make(chan inbox.Settlement, claims),
		held:             make(chan call, claims),
		progress:         make(chan struct{}, 1),
		failureWarnings:  logthrottle.New(failureWarnInterval),
		deferralWarnings: logthrottle.New(deferralWarnInterval),
		announcements:    logthrottle.NewPerKey[breakerState](announceInterval),
		formWarnings:     logthrottle.NewPerKey[translate.Finding](formInterval),
	}
}

// Run forwards until ctx ends. Then it claims no more, lets the calls in flight end, writes their outcomes, and returns.
func (f *Forwarder) Run(ctx context.Context) {
	var callers, writer sync.WaitGroup
	for range f.options.Concurrency {
		callers.Go(func() {
			for c := range f.work {
				f.do(ctx, c)
			}
		})
	}
	writer.Go(func() { f.writeOutcomes(ctx) })
	f.dispatch(ctx)
	close(f.work)
	callers.Wait()
	close(f.held)
	for c := range f.held {
		f.outcomes <- requeue(c.delivery, f.options.Now())
	}
	close(f.outcomes)
	writer.Wait()
	f.announce(true)
}

// forward forwards a delivery and returns what became of it.
func (f *Forwarder) forward(ctx context.Context, delivery inbox.Delivery) inbox.Settlement {
	if len(delivery.Body) == 0 {
		return markDead(delivery, "the body is gone")
	}
	request, err := f.translateSafely(delivery)
	if err != nil {
		f.options.Log.Error("delivery can't be translated and is dead", "delivery_id", delivery.ID, "event_id", delivery.EventID, "reason",
			err.Error())
		return markDead(delivery, err.Error())
	}
	// A call that was begun is let end, so that stopping does not leave its outcome open.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.options.CallTimeout)
	defer cancel()
	begun := f.options.Now()
	position, err := f.record(ctx, delivery, request)
	if err == nil {
		f.noteForms(request.Forms)
	}
	return f.finish(delivery, begun, position, err)
}

// record makes the call, and returns the position that ticketsvc's answer names.
func (f *Forwarder) record(ctx context.Context, delivery inbox.Delivery, request translate.Result) (*ticketv1.LogPosition, error) {
	if delivery.TraceParent != "" {
		var info connect.CallInfo
		ctx, info = connect.NewClientContext(ctx)
		info.RequestHeader().Set("Traceparent", delivery.TraceParent)
	}
	if request.Created != nil {
		response, err := f.client.TicketCreated(ctx, request.Created)
		return response.GetLogPosition(), err
	}
	response, err := f.client.TicketUpdated(ctx, request.Updated)
	return response.GetLogPosition(), err
}

// translateSafely makes the RPC request of a delivery. A translator that panics must take down neither the gateway nor, after each
// restart, the gateway again.
func (f *Forwarder) translateSafely(delivery inbox.Delivery) (request translate.Result, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the translator panicked")
		}
	}()
	return translate.Event(delivery.Body, delivery.ReceiveTime, f.options.FutureTolerance)
}

// finish returns what becomes of a delivery whose call began at that time and ended with that position of ticketsvc's log, or with err.
func (f *Forwarder) finish(delivery inbox.Delivery, begun time.Time, position *ticketv1.LogPosition, err error) inbox.Settlement {
	now := f.options.Now()
	o := classify(err)
	switch o {
	case unreachable, misconfigured:
		f.noteFailure(begun, now, o, err)
	case deferred:
		if delivery.Deferrals == 0 {
			// That one event is put off repeatedly says nothing new of ticketsvc; that many are, does.
			f.noteFailure(begun, now, o, err)
		}
	default:
		if f.breaker.succeeded(now) {
			f.noteProgress()
		}
	}
	if o == done {
		return inbox.Settlement{Lease: delivery.Lease, State: inbox.Forwarded, Position: fromPosition(position)}
	}

	reason, since := reasonOf(err), failingSince(delivery.Reason, now)
	next := inbox.Settlement{Lease: delivery.Lease, State: inbox.Pending, Reason: reason + sinceMark + since,
		Attempts: delivery.Attempts, Deferrals: delivery.Deferrals}
	attributes := []any{"delivery_id", delivery.ID, "event_id", delivery.EventID, "since", since, "reason", reason}
	switch o {
	case unreachable, misconfigured:
		next.NextAttemptTime = now.Add(outageBackoff.after(1, f.options.Random()))
	case deferred:
		next.Deferrals++
		// What ticketsvc asks for comes on top, so that those that it asked at the same time do not come back together.
		asked, _ := retryDelay(err)
		next.NextAttemptTime = now.Add(asked + deferralBackoff.after(next.Deferrals, f.options.Random()))
		f.warnOfDeferral(now, next.Deferrals, attributes)
	default:
		next.Attempts++
		next.Deferrals = 0
		attributes = append(attributes, "attempts", next.Attempts)
		if o == permanent || next.Attempts >= f.options.MaxAttempts {
			f.options.Log.Error("event can't be forwarded and its delivery is dead", attributes...)
			next.State, next.Reason = inbox.Dead, reason
			break
		}
		next.NextAttemptTime = now.Add(attemptBackoff.after(next.Attempts, f.options.Random()))
		f.options.Log.Warn("event failed and is retried", attributes...)
	}
	return next
}

// warnOfDeferral warns at growing intervals: when an event was deferred 4, 8, 16, … times in a row.
func (f *Forwarder) warnOfDeferral(now time.Time, deferrals int, attributes []any) {
	if deferrals < 4 || bits.OnesCount(uint(deferrals)) != 1 {
		return
	}
	if count, ok := f.deferralWarnings.Allow(now); ok {
		f.options.Log.Warn("event can't be forwarded yet and is retried: look for the cause in ticketsvc's log",
			append(attributes, "deferrals", deferrals, "count", count)...)
	}
}

// noteFailure notes a call that failed by no fault of its event.
func (f *Forwarder) noteFailure(begun, now time.Time, o outcome, err error) {
	f.breaker.failed(begun, now, o == misconfigured, err)
	if count, ok := f.failureWarnings.Allow(now); ok {
		f.options.Log.Warn("calls of ticketsvc fail: their events are retried", "code", connect.CodeOf(err), "error", err, "count", count)
	}
}

// announce logs whether forwarding is paused when that differs from what was logged last. Changes that follow one another too quickly
// are left out, except the last one, so that the last line is true a moment later, or when forwarding has ended.
func (f *Forwarder) announce(ended bool) {
	state, _, cause := f.breaker.status()
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
		f.options.Log.Info("ticketsvc answers again: forwarding goes on", "paused_for", now.Sub(f.pausedAt).Round(time.Millisecond))
	case breakerMisconfigured:
		f.options.Log.Error("ticketsvc refuses every event: forwarding is paused until the deployment is fixed (is the URL ticketsvc's, "+
			"the token right and of the scope ingest, the certificate trusted, ticketsvc new enough?)",
			"code", connect.CodeOf(cause), "error", cause)
	default:
		f.options.Log.Warn("ticketsvc can't be reached: forwarding is paused, deliveries are kept", "code", connect.CodeOf(cause), "error", cause)
	}
}

// requeue returns what becomes of a delivery that was claimed and not tried.
func requeue(delivery inbox.Delivery, now time.Time) inbox.Settlement {
	return inbox.Settlement{Lease: delivery.Lease, State: inbox.Pending, Reason: delivery.Reason, Attempts: delivery.Attempts,
		Deferrals: delivery.Deferrals, NextAttemptTime: now}
}

// markDead returns what becomes of a delivery that can't be forwarded.
func markDead(delivery inbox.Delivery, reason string) inbox.Settlement {
	return inbox.Settlement{Lease: delivery.Lease, State: inbox.Dead, Attempts: delivery.Attempts, Deferrals: delivery.Deferrals,
		Reason: reason}
}

// writeOutcomes writes outcomes in batches, until there will be no more.
func (f *Forwarder) writeOutcomes(ctx context.Context) {
	batch := make([]inbox.Settlement, 0, maxOutcomes)
	for first := range f.outcomes {
		batch = append(batch[:0], first)
		for len(batch) < maxOutcomes && len(f.outcomes) > 0 {
			batch = append(batch, <-f.outcomes)
		}
		f.write(ctx, batch)
		f.release(len(batch))
	}
}

// write writes outcomes. While the database is away it tries again, for as long as a lease: there is nothing else that could be done
// meanwhile, and what is not written is forwarded once more, when its lease has run out.
func (f *Forwarder) write(ctx context.Context, batch []inbox.Settlement) {
	giveUp := f.options.Now().Add(f.lease())
	for failures := 0; ; failures++ {
		lost, err := f.inbox.Settle(context.Background(), f.options.Now(), batch)
		if err == nil {
			if lost > 0 {
				f.options.Log.Warn("outcomes came after another worker took the deliveries over", "count", lost)
			}
			return
		}
		if failures == 0 {
			f.options.Log.Error("outcomes can't be written yet", "count", len(batch), "error", err)
		}
		if !errors.Is(err, inbox.ErrUnavailable) || f.options.Now().After(giveUp) || !wait(ctx, pollInterval) {
			f.options.Log.Error("outcomes can't be written; the events will be forwarded again", "count", len(batch), "error", err)
			return
		}
	}
}

// wait waits for a time, and returns false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
