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

// mappedEvent is a claimed delivery whose body was mapped to a request, with what that adds to a call.
type mappedEvent struct {
	delivery        inbox.Delivery
	request         *ticketv1.TicketEventRequest
	bytes, elements int
	forms           []event.Finding
}

// answer is what ticketsvc answered for one event: the position that its log has by then, or an error.
type answer struct {
	position *ticketv1.LogPosition
	err      error
}

// call is a call of ticketsvc, with an answer for each of its events.
type call struct {
	events []mappedEvent
	// isAlone says that the one event of the call is called alone, because it was tried before.
	isAlone      bool
	begun, ended time.Time
	answers      []answer
}

// mapEvent maps the body of a delivery. Its error is why the delivery is dead. A mapping that panics must take down neither the gateway
// nor, after each restart, the gateway again.
func (f *Forwarder) mapEvent(delivery inbox.Delivery) (e mappedEvent, err error) {
	if len(delivery.Body) == 0 {
		return mappedEvent{}, errors.New("the body is gone")
	}
	defer func() {
		if recover() != nil {
			err = errors.New("the translator panicked")
		}
		if err != nil {
			f.options.Log.Error("delivery can't be translated and is dead", "delivery_id", delivery.ID, "event_id", delivery.EventID,
				"reason", err.Error())
		}
	}()
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
	// The entry in the list of events is an element, too.
	return mappedEvent{delivery, request, proto.Size(request), result.Elements + 1, result.Forms}, nil
}

// begin begins a call with the events, which is among those in flight until [Forwarder.finish] gets it.
func (f *Forwarder) begin(ctx context.Context, events []mappedEvent, isAlone bool) {
	c := &call{events: events, isAlone: isAlone, begun: f.options.Now()}
	if isAlone {
		f.alone++
	} else {
		f.calls[c] = struct{}{}
	}
	go func() {
		// A call that was begun is let end, so that stopping does not leave its outcome open.
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

// callBatch calls RecordTicketEvents. Where the call failed, each answer has its error as a [batchError].
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

// answerOf returns what ticketsvc answered for one event of several.
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

// finish writes what becomes of the deliveries of a call, and of other calls that ended meanwhile.
func (f *Forwarder) finish(ctx context.Context, c *call) {
	var batch []inbox.Settlement
	for {
		if c.isAlone {
			f.alone--
		} else {
			delete(f.calls, c)
		}
		for i, e := range c.events {
			batch = append(batch, f.settlement(c, e, c.answers[i]))
		}
		if len(batch) >= maxOutcomes || len(f.ended) == 0 {
			break
		}
		c = <-f.ended
	}
	f.write(ctx, batch)
}

// settlement returns what becomes of the delivery of an event of a call, with the answer for that event.
func (f *Forwarder) settlement(c *call, e mappedEvent, a answer) inbox.Settlement {
	delivery, now, err, o := e.delivery, c.ended, a.err, classify(a.err)
	switch o {
	case done:
		f.breaker.succeeded(now)
		f.noteForms(e.forms)
		return inbox.Settlement{Lease: delivery.Lease, State: inbox.Forwarded, Position: fromPosition(a.position)}
	case unknownBatch:
		f.noteUnknownBatch(now)
		return requeue(delivery, now)
	case retryable, permanent:
		f.breaker.succeeded(now)
	default:
		// That one event is deferred repeatedly says nothing new of ticketsvc; that many are, does.
		if o != deferred || delivery.Deferrals == 0 {
			f.noteFailure(c.begun, now, o, err)
		}
	}

	reason, since := reasonOf(err), failingSince(delivery.Reason, now)
	next := inbox.Settlement{Lease: delivery.Lease, State: inbox.Pending, Reason: reason + sinceMark + since,
		Attempts: delivery.Attempts, Deferrals: delivery.Deferrals}
	attributes := []any{"delivery_id", delivery.ID, "event_id", delivery.EventID, "since", since, "reason", reason}
	asked, busy := retryDelay(err)
	var batch *batchError
	switch {
	case o == deferred && busy && len(c.events) > 1:
		// The events stay together, since single calls would be more work for ticketsvc.
		next.NextAttemptTime = now.Add(asked)
	case o == deferred:
		next.Deferrals++
		// What ticketsvc asks for comes on top, so that those that it asked at the same time do not come back together.
		next.NextAttemptTime = now.Add(asked + deferralBackoff.after(next.Deferrals, f.options.Random()))
		f.warnOfDeferral(now, next.Deferrals, attributes)
	case o == unreachable || o == misconfigured:
		if errors.As(err, &batch) {
			// One of the events may have broken the connection: they are called alone from now on.
			next.Deferrals++
		}
		next.NextAttemptTime = now.Add(outageBackoff.after(1, f.options.Random()))
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

// noteUnknownBatch notes that ticketsvc does not know RecordTicketEvents. It is called again later: a newer ticketsvc may be there by then.
func (f *Forwarder) noteUnknownBatch(now time.Time) {
	if now.After(f.singleUntil) {
		f.options.Log.Warn("ticketsvc does not know RecordTicketEvents: events are forwarded one by one, which takes more processor time "+
			"(update ticketsvc)", "retry_after", singleCallsPeriod)
	}
	f.singleUntil = now.Add(singleCallsPeriod)
}

// noteFailure notes a call that failed by no fault of its event.
func (f *Forwarder) noteFailure(begun, now time.Time, o outcome, err error) {
	f.breaker.failed(begun, now, o == misconfigured, err)
	if count, ok := f.failureWarnings.Allow(now); ok {
		f.options.Log.Warn("calls of ticketsvc fail: their events are retried", "code", connect.CodeOf(err), "error", err, "count", count)
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
