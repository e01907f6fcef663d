package forwarder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// mappedEvent is a claimed delivery that was mapped to a request. bytes and elements are its share of a call's limits.
type mappedEvent struct {
	delivery        inbox.Delivery
	request         *ticketv1.TicketEventRequest
	bytes, elements int
	forms           []event.Finding
}

// answer is ticketsvc's answer for one event: a position of its log, or an error.
type answer struct {
	position *ticketv1.LogPosition
	err      error
}

// call is a call to ticketsvc, with an answer for each of its events.
type call struct {
	events []mappedEvent
	// isAlone is set if the call's single event must not share a call: it was tried before, it probes an outage, or ticketsvc does not know
	// RecordTicketEvents.
	isAlone      bool
	begun, ended time.Time
	answers      []answer
}

// mapEvent maps the body of a delivery. The error is the reason why the delivery is dead. If mapping panics, the delivery is dead too:
// otherwise the panic would end the gateway, and would do so again after each restart.
func (f *Forwarder) mapEvent(delivery inbox.Delivery) (e mappedEvent, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the mapping panicked")
		}
		if err != nil {
			f.options.Log.Error("delivery can't be mapped to the contract and is dead", "delivery_id", delivery.ID, "event_id", delivery.EventID,
				"reason", err.Error())
		}
	}()
	if len(delivery.Body) == 0 {
		return mappedEvent{}, errors.New("the body is gone")
	}
	result, err := event.Map(delivery.Body, delivery.ReceiveTime, f.options.FutureTolerance)
	if err != nil {
		return mappedEvent{}, err
	}
	request := &ticketv1.TicketEventRequest{}
	if result.Created != nil {
		request.Request = &ticketv1.TicketEventRequest_Created{Created: result.Created}
	} else {
		request.Request = &ticketv1.TicketEventRequest_Updated{Updated: result.Updated}
	}
	// The event's entry in the list of events is an element too.
	return mappedEvent{delivery, request, proto.Size(request), result.Elements + 1, result.Findings}, nil
}

// startCall starts a call with the events. The call is in flight until [Forwarder.finish] gets it.
func (f *Forwarder) startCall(ctx context.Context, events []mappedEvent, isAlone bool) {
	c := &call{events: events, isAlone: isAlone, begun: f.options.Now()}
	if isAlone {
		f.alone++
	} else {
		f.calls[c] = struct{}{}
	}
	go func() {
		// The call may end even if the forwarder stops, so that its outcome is known.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.options.CallTimeout)
		defer cancel()
		if len(events) == 1 {
			c.answers = []answer{f.callSingle(ctx, events[0])}
		} else {
			c.answers = f.callBatch(ctx, events)
		}
		c.ended = f.options.Now()
		f.ended <- c
	}()
}

// callSingle calls TicketCreated or TicketUpdated.
func (f *Forwarder) callSingle(ctx context.Context, e mappedEvent) answer {
	if e.delivery.TraceParent != "" {
		var info connect.CallInfo
		ctx, info = connect.NewClientContext(ctx)
		info.RequestHeader().Set("Traceparent", e.delivery.TraceParent)
	}
	if created := e.request.GetCreated(); created != nil {
		response, err := f.client.TicketCreated(ctx, created)
		return answer{response.GetLogPosition(), err}
	}
	response, err := f.client.TicketUpdated(ctx, e.request.GetUpdated())
	return answer{response.GetLogPosition(), err}
}

// callBatch calls RecordTicketEvents. If the call fails, each answer has its error as a [batchError].
func (f *Forwarder) callBatch(ctx context.Context, events []mappedEvent) []answer {
	request := &ticketv1.RecordTicketEventsRequest{Events: make([]*ticketv1.TicketEventRequest, len(events))}
	for i, e := range events {
		request.Events[i] = e.request
	}
	response, err := f.client.RecordTicketEvents(ctx, request)
	results := response.GetResults()
	if err == nil && len(results) != len(events) {
		err = fmt.Errorf("ticketsvc answered with %d results for %d events", len(results), len(events))
	}
	if err != nil {
		return slices.Repeat([]answer{{err: &batchError{err}}}, len(events))
	}
	answers := make([]answer, len(events))
	for i, result := range results {
		answers[i] = answerOf(result)
	}
	return answers
}

// answerOf returns ticketsvc's answer for one event of several.
func answerOf(result *ticketv1.TicketEventResult) answer {
	switch {
	case result.GetError() != nil:
		return answer{err: errorOf(result.GetError())}
	case result.GetCreated() == nil && result.GetUpdated() == nil:
		return answer{err: errors.New("ticketsvc answered without a result")}
	default:
		return answer{position: cmp.Or(result.GetCreated().GetLogPosition(), result.GetUpdated().GetLogPosition())}
	}
}

// finish writes the outcomes of the deliveries of a call, and of other calls that ended meanwhile.
func (f *Forwarder) finish(ctx context.Context, c *call) {
	var batch []inbox.Outcome
	for {
		if c.isAlone {
			f.alone--
		} else {
			delete(f.calls, c)
		}
		for i, e := range c.events {
			batch = append(batch, f.outcome(c, e, c.answers[i]))
		}
		if len(batch) >= maxOutcomes || len(f.ended) == 0 {
			break
		}
		c = <-f.ended
	}
	f.write(ctx, batch)
}

// outcome returns the outcome of one delivery of a call, from the answer for its event.
func (f *Forwarder) outcome(c *call, e mappedEvent, a answer) inbox.Outcome {
	delivery, now, err, class := e.delivery, c.ended, a.err, classify(a.err)
	switch class {
	case done:
		f.breaker.succeeded(now)
		f.logForms(e.forms)
		return inbox.Outcome{Lease: delivery.Lease, State: inbox.Forwarded, Position: fromPosition(a.position)}
	case unknownBatch:
		f.recordUnknownBatch(now)
		return requeue(delivery, now)
	case retryable, permanent:
		f.breaker.succeeded(now)
	default:
		// A single event that is deferred repeatedly shows nothing new about ticketsvc. Many deferred events do.
		if class != deferred || delivery.Deferrals == 0 {
			f.recordFailure(c.begun, now, class, err)
		}
	}

	next := inbox.Outcome{Lease: delivery.Lease, State: inbox.Pending, Reason: reasonOf(err), Attempts: delivery.Attempts,
		Deferrals: delivery.Deferrals}
	attributes := []any{"delivery_id", delivery.ID, "event_id", delivery.EventID, "receive_time", delivery.ReceiveTime, "reason", next.Reason}
	asked, busy := retryDelay(err)
	var batch *batchError
	switch {
	case class == deferred && busy && len(c.events) > 1:
		// The events stay together, because single calls would be more work for ticketsvc.
		next.NextAttemptTime = now.Add(asked)
	case class == deferred:
		next.Deferrals++
		// The backoff is added to the delay that ticketsvc asks for, so that events with the same delay are not retried at the same time.
		next.NextAttemptTime = now.Add(asked + deferralBackoff.after(next.Deferrals, f.options.Random()))
		f.warnOfDeferral(now, next.Deferrals, attributes)
	case class == unreachable || class == misconfigured:
		if errors.As(err, &batch) && !isUnsent(err) {
			// One of the events may have broken the connection, so from now on each is called alone.
			next.Deferrals++
		}
		next.NextAttemptTime = now.Add(outageBackoff.after(1, f.options.Random()))
	default:
		next.Attempts++
		next.Deferrals = 0
		attributes = append(attributes, "attempts", next.Attempts)
		if class == permanent || next.Attempts >= f.options.MaxAttempts {
			f.options.Log.Error("event can't be forwarded and its delivery is dead", attributes...)
			next.State = inbox.Dead
			break
		}
		next.NextAttemptTime = now.Add(attemptBackoff.after(next.Attempts, f.options.Random()))
		f.options.Log.Warn("event failed and is retried", attributes...)
	}
	return next
}

// warnOfDeferral warns at growing intervals: after an event was deferred 4, 8, 16, … times in a row.
func (f *Forwarder) warnOfDeferral(now time.Time, deferrals int, attributes []any) {
	if deferrals < 4 || bits.OnesCount(uint(deferrals)) != 1 {
		return
	}
	if count, ok := f.deferralWarnings.Allow(now); ok {
		f.options.Log.Warn("event can't be forwarded yet and is retried: look for the cause in ticketsvc's log",
			append(attributes, "deferrals", deferrals, "count", count)...)
	}
}

// recordUnknownBatch records that ticketsvc does not know RecordTicketEvents. After singleCallsPeriod the procedure is tried once more,
// because ticketsvc may have been updated by then.
func (f *Forwarder) recordUnknownBatch(now time.Time) {
	if now.After(f.singleUntil) {
		f.options.Log.Warn("ticketsvc does not know RecordTicketEvents: events are forwarded one by one, which takes more processor time "+
			"(update ticketsvc)", "retry_after", singleCallsPeriod)
	}
	f.singleUntil = now.Add(singleCallsPeriod)
}

// recordFailure records a call that failed for another reason than its event.
func (f *Forwarder) recordFailure(begun, now time.Time, class outcomeClass, err error) {
	f.breaker.failed(begun, now, class == misconfigured, err)
	if count, ok := f.failureWarnings.Allow(now); ok {
		f.options.Log.Warn("calls of ticketsvc fail: their events are retried", "code", connect.CodeOf(err), "error", err, "count", count)
	}
}

// requeue returns the outcome of a delivery that was claimed and not tried.
func requeue(delivery inbox.Delivery, now time.Time) inbox.Outcome {
	return inbox.Outcome{Lease: delivery.Lease, State: inbox.Pending, Reason: delivery.Reason, Attempts: delivery.Attempts,
		Deferrals: delivery.Deferrals, NextAttemptTime: now}
}

// markDead returns the outcome of a delivery that can't be forwarded.
func markDead(delivery inbox.Delivery, reason string) inbox.Outcome {
	return inbox.Outcome{Lease: delivery.Lease, State: inbox.Dead, Attempts: delivery.Attempts, Deferrals: delivery.Deferrals,
		Reason: reason}
}
