// Package forwarder brings pending deliveries from the inbox to ticketsvc.
//
// It claims deliveries in batches, has many calls in flight, and settles them in batches. What the outcome of a call means stands in
// one table (outcome.go): an outage of ticketsvc pauses everything and costs no delivery anything, while an event that fails by its
// own fault is put off, and in the end set aside, on its own. No order is kept and none is needed.
package forwarder

import (
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/semaphore"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/translate"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// Inbox is what the forwarder needs of the inbox.
type Inbox interface {
	Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]inbox.Delivery, error)
	Settle(ctx context.Context, now time.Time, settlements []inbox.Settlement) (lost int, err error)
	NextDue(ctx context.Context) (time.Time, bool, error)
	Wake() <-chan struct{}
}

// Options are the forwarder's bounds, and what it takes time and chance from.
type Options struct {
	// Concurrency is how many calls are in flight at the most.
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
	// pollInterval is how long the forwarder sleeps at the most: a missed wake-up costs no more than that.
	pollInterval = time.Second
	// maxSettlements is how many deliveries are settled in one transaction at the most.
	maxSettlements = 512
	// outageThreshold is how many failures in a row, without a success between, are taken for an outage.
	outageThreshold = 3
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
	client  ticketv1connect.TicketEventServiceClient
	options Options
	gate    gate
	forms   formLog
	// deferralWarnings limits the warnings of events that are put off: in an outage all are.
	deferralWarnings *logthrottle.Throttle
	// unreadable says that the last claim failed. Only who claims uses it.
	unreadable bool

	work        chan call
	settlements chan inbox.Settlement
	// settled receives when outcomes were written, which may have put deliveries off until sooner than anything known before.
	settled chan struct{}
	// claimed has room for each delivery that may be claimed and not yet settled.
	claimed *semaphore.Weighted
}

// New returns a forwarder from the inbox to ticketsvc. Start it with [Forwarder.Run].
func New(from Inbox, client ticketv1connect.TicketEventServiceClient, options Options) *Forwarder {
	claims := claimsPerCall * options.Concurrency
	return &Forwarder{
		inbox:            from,
		client:           client,
		options:          options,
		gate:             gate{threshold: outageThreshold, pace: probeBackoff},
		deferralWarnings: logthrottle.New(10 * time.Second),
		work:             make(chan call, claims),
		settlements:      make(chan inbox.Settlement, claims),
		settled:          make(chan struct{}, 1),
		claimed:          semaphore.NewWeighted(int64(claims)),
	}
}

// Run forwards until ctx ends. Then it claims no more, lets the calls in flight end, settles them, and returns.
func (f *Forwarder) Run(ctx context.Context) {
	var callers, settler sync.WaitGroup
	for range f.options.Concurrency {
		callers.Go(func() {
			for c := range f.work {
				f.settlements <- f.forwardUnlessPaused(ctx, c)
			}
		})
	}
	settler.Go(func() { f.settleAll(ctx) })
	f.claimAll(ctx)
	close(f.work)
	callers.Wait()
	close(f.settlements)
	settler.Wait()
}

// call is a delivery that is to be forwarded.
type call struct {
	delivery inbox.Delivery
	// probe says that it is to find out whether an outage is over.
	probe bool
}

// claimAll claims what is due and sees to it that it is forwarded, until ctx ends.
func (f *Forwarder) claimAll(ctx context.Context) {
	for {
		// A claim costs about the same for one delivery as for many, so it waits until there is room for a good number.
		limit := f.options.Concurrency
		if err := f.claimed.Acquire(ctx, int64(limit)); err != nil {
			return
		}
		deliveries, probe := f.claim(ctx, limit)
		f.claimed.Release(int64(limit - len(deliveries)))
		for _, delivery := range deliveries {
			f.work <- call{delivery, probe}
		}
		if len(deliveries) == 0 {
			f.sleepUntilDue(ctx)
		}
	}
}

// claim claims up to limit deliveries; during an outage a single one, as a probe, once that is due.
func (f *Forwarder) claim(ctx context.Context, limit int) (deliveries []inbox.Delivery, probe bool) {
	closed, probeAt := f.gate.isClosed()
	if closed {
		limit = 1
		if !f.sleepUntil(ctx, probeAt) {
			return nil, false
		}
	}
	now := f.options.Now()
	// A claim that is cut off may have been made all the same, and then nobody would have those deliveries until the leases run out.
	deliveries, err := f.inbox.Claim(context.WithoutCancel(ctx), now, f.lease(), limit)
	f.noteReading(err)
	if closed && len(deliveries) > 0 {
		f.gate.probed(now, f.options.Random())
	}
	return deliveries, closed
}

// noteReading notes whether pending deliveries could be read, and says so when that changes.
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

// forwardUnlessPaused forwards a delivery unless an outage has begun since it was claimed, and returns what became of it.
func (f *Forwarder) forwardUnlessPaused(ctx context.Context, c call) inbox.Settlement {
	if closed, _ := f.gate.isClosed(); closed && !c.probe || ctx.Err() != nil {
		return requeue(c.delivery, f.options.Now())
	}
	return f.forward(ctx, c.delivery)
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
	err = f.record(ctx, delivery, request)
	if err == nil {
		f.forms.note(f.options.Log, f.options.Now(), request.Forms)
	}
	return f.finish(delivery, begun, err)
}

func (f *Forwarder) record(ctx context.Context, delivery inbox.Delivery, request translate.Result) error {
	if delivery.TraceParent != "" {
		var info connect.CallInfo
		ctx, info = connect.NewClientContext(ctx)
		info.RequestHeader().Set("Traceparent", delivery.TraceParent)
	}
	var err error
	if request.Created != nil {
		_, err = f.client.TicketCreated(ctx, request.Created)
	} else {
		_, err = f.client.TicketUpdated(ctx, request.Updated)
	}
	return err
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

// finish returns what becomes of a delivery whose call began at that time and ended with err.
func (f *Forwarder) finish(delivery inbox.Delivery, begun time.Time, err error) inbox.Settlement {
	now := f.options.Now()
	o := classify(err)
	switch o {
	case unreachable, misconfigured:
		f.noteOutage(begun, now, o, err)
	case deferred:
		if delivery.Deferrals == 0 {
			// That one event is put off repeatedly says nothing new of ticketsvc; that many are, does.
			f.noteOutage(begun, now, o, err)
		}
	default:
		f.noteSuccess(now)
	}
	if o == done {
		return inbox.Settlement{Lease: delivery.Lease, State: inbox.Forwarded}
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

// noteSuccess notes that ticketsvc answered, whatever it said of the event.
func (f *Forwarder) noteSuccess(now time.Time) {
	if opened, closedFor := f.gate.succeeded(now); opened {
		f.options.Log.Info("ticketsvc answers again: forwarding goes on", "paused_for", closedFor.Round(time.Millisecond))
	}
}

// noteOutage notes a call that failed by no fault of its event.
func (f *Forwarder) noteOutage(begun, now time.Time, v outcome, err error) {
	news := f.gate.failed(begun, now, v == misconfigured, f.options.Random())
	switch {
	case news && v == misconfigured:
		f.options.Log.Error("ticketsvc refuses every event: forwarding is paused until the deployment is mended (is the URL ticketsvc's, "+
			"the token right and of the scope ingest, the certificate trusted, ticketsvc new enough?)", "code", connect.CodeOf(err), "error", err)
	case news:
		f.options.Log.Warn("ticketsvc can't be reached: forwarding is paused, deliveries are kept", "code", connect.CodeOf(err), "error", err)
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

// settleAll writes settlements in batches, until there will be no more.
func (f *Forwarder) settleAll(ctx context.Context) {
	batch := make([]inbox.Settlement, 0, maxSettlements)
	for first := range f.settlements {
		batch = append(batch[:0], first)
		for len(batch) < maxSettlements && len(f.settlements) > 0 {
			batch = append(batch, <-f.settlements)
		}
		f.write(ctx, batch)
		f.claimed.Release(int64(len(batch)))
		select {
		case f.settled <- struct{}{}:
		default:
		}
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
		if !errors.Is(err, inbox.ErrUnavailable) || f.options.Now().After(giveUp) || !f.sleepUntil(ctx, f.options.Now().Add(pollInterval)) {
			f.options.Log.Error("outcomes can't be written; the events will be forwarded again", "count", len(batch), "error", err)
			return
		}
	}
}

// lease is how long a claim holds.
func (f *Forwarder) lease() time.Duration {
	return (claimsPerCall+1)*f.options.CallTimeout + leaseReserve
}

// sleepUntilDue sleeps until there may be something to claim, or ctx ends.
func (f *Forwarder) sleepUntilDue(ctx context.Context) {
	until := f.options.Now().Add(pollInterval)
	if due, pending, err := f.inbox.NextDue(ctx); err == nil && pending && due.Before(until) {
		until = due
	}
	timer := time.NewTimer(until.Sub(f.options.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.inbox.Wake():
	case <-f.settled:
	case <-ctx.Done():
	}
}

// sleepUntil sleeps until then, and returns false when ctx ended first.
func (f *Forwarder) sleepUntil(ctx context.Context, then time.Time) bool {
	timer := time.NewTimer(then.Sub(f.options.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
