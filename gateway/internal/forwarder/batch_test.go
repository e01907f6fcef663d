package forwarder_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/elements"
)

// TestForwarder_eventOfABatchFails has a call with an event for each code. Each event has the same outcome as in its own call, and does not
// affect the others.
func TestForwarder_eventOfABatchFails(t *testing.T) {
	t.Parallel()
	const once = "one answer without a result"
	dead := func(code connect.Code, attempts int) row {
		return row{State: inbox.Dead, Attempts: attempts, Reason: "ticketsvc: " + code.String() + ": not today"}
	}
	want := map[string]row{"good": {State: inbox.Forwarded}, once: {State: inbox.Forwarded}, "busy": {State: inbox.Forwarded}}
	errs := map[string]error{"busy": busyFor(t, connect.CodeResourceExhausted, durationpb.New(time.Millisecond))}
	for code := connect.CodeCanceled; code <= connect.CodeUnauthenticated+1; code++ {
		id := code.String()
		errs[id] = connect.NewError(code, errors.New("not today"))
		switch code {
		case connect.CodeInvalidArgument, connect.CodeOutOfRange, connect.CodeFailedPrecondition, connect.CodeNotFound,
			connect.CodeResourceExhausted:
			want[id] = dead(code, 1)
		case connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss:
			want[id] = dead(code, maxAttempts)
		case connect.CodeUnauthenticated + 1: // This is not a code. The event's next call succeeds.
			want[id] = row{State: inbox.Forwarded, Attempts: 1}
		default:
			want[id] = row{State: inbox.Forwarded}
		}
	}
	b, s := newBox(t), newTicketsvc(func(eventID string, call int) error {
		if err := errs[eventID]; err != nil && (call == 1 || want[eventID].State == inbox.Dead) {
			return err
		}
		return nil
	})
	s.answerBatch = func(ids []string, response *ticketv1.RecordTicketEventsResponse) error {
		if i := slices.Index(ids, once); i >= 0 {
			response.Results[i].Result = nil
		}
		return nil
	}
	for id := range want {
		b.add(t, id, body(id))
	}
	start(t, b, startServer(t, s), io.Discard)
	rows := b.waitUntil(t, nonePending)
	for id, r := range rows {
		want := want[id]
		if want.State == inbox.Forwarded {
			r.Deferrals = 0
		}
		if diff := gocmp.Diff(want, r); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	if sizes := s.batchSizes(); sizes[0] != len(want) {
		t.Errorf("the calls of several events had %v events, want %d in the first", sizes, len(want))
	}
	if calls := s.callsOf("good"); calls != 1 {
		t.Errorf("the good event was forwarded %d times", calls)
	}
}

// poison is an event with which every call fails.
const poison = "e7"

// TestForwarder_batchFails has an event that makes a whole call fail. No event uses up an attempt, and all others are forwarded.
func TestForwarder_batchFails(t *testing.T) {
	t.Parallel()
	const events = 50
	fail := func(code connect.Code) func(*ticketv1.RecordTicketEventsResponse) error {
		return func(*ticketv1.RecordTicketEventsResponse) error {
			return connect.NewError(code, errors.New("not today"))
		}
	}
	for name, test := range map[string]func(*ticketv1.RecordTicketEventsResponse) error{
		"already exists": fail(connect.CodeAlreadyExists), "deadline exceeded": fail(connect.CodeDeadlineExceeded),
		"invalid argument": fail(connect.CodeInvalidArgument), "too large": fail(connect.CodeResourceExhausted),
		"internal": fail(connect.CodeInternal), "data loss": fail(connect.CodeDataLoss), "unavailable": fail(connect.CodeUnavailable),
		"the connection breaks": func(*ticketv1.RecordTicketEventsResponse) error { panic(http.ErrAbortHandler) },
		"a result is missing": func(response *ticketv1.RecordTicketEventsResponse) error {
			response.Results = response.Results[1:]
			return nil
		},
		"a result too many": func(response *ticketv1.RecordTicketEventsResponse) error {
			response.Results = append(response.Results, response.Results[0])
			return nil
		},
		"no results": func(response *ticketv1.RecordTicketEventsResponse) error {
			response.Results = nil
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s := newBox(t), newTicketsvc(func(id string, call int) error {
				if id == poison && call > 1 {
					return connect.NewError(connect.CodeDeadlineExceeded, errors.New("it takes too long"))
				}
				return nil
			})
			s.answerBatch = func(ids []string, response *ticketv1.RecordTicketEventsResponse) error {
				if slices.Contains(ids, poison) {
					return test(response)
				}
				return nil
			}
			b.addMany(t, events)
			start(t, b, startServer(t, s), io.Discard)
			rows := b.waitUntil(t, func(rows map[string]row) bool {
				forwarded := 0
				for _, r := range rows {
					if r.State == inbox.Forwarded {
						forwarded++
					}
				}
				return forwarded == events-1
			})
			for id, r := range rows {
				if r.Attempts != 0 || id == poison && r.State != inbox.Pending {
					t.Errorf("event %s: %+v, want no attempts used up, and %s pending", id, r, poison)
				}
			}
			if sizes := s.batchSizes(); !slices.Equal(sizes, []int{events}) {
				t.Errorf("the calls of several events had %v events, want one of %d", sizes, events)
			}
		})
	}
}

// TestForwarder_batchIsRefusedByAProxy has a proxy that accepts only small requests.
func TestForwarder_batchIsRefusedByAProxy(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			b, s := newBox(t), newTicketsvc(nil)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ContentLength > 1000 {
					w.WriteHeader(status)
					return
				}
				s.handler().ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			b.addMany(t, 50)
			start(t, b, server.URL, io.Discard)
			for id, r := range b.waitUntil(t, allInState(inbox.Forwarded)) {
				if r.Attempts != 0 || s.callsOf(id) != 1 {
					t.Errorf("event %s: %+v after %d calls, want no attempts used up and one call", id, r, s.callsOf(id))
				}
			}
		})
	}
}

// TestForwarder_batchOfABusyTicketsvc has a ticketsvc that asks for a retry of a whole call. The events stay together, because single calls
// would be more work for ticketsvc.
func TestForwarder_batchOfABusyTicketsvc(t *testing.T) {
	t.Parallel()
	in := newMemoryInbox(100)
	var calls []time.Time
	inBubbleWith(t, in, &batchClient{
		client: func(context.Context) error {
			t.Error("an event was called alone")
			return nil
		},
		record: func(_ context.Context, r *ticketv1.RecordTicketEventsRequest) error {
			calls = append(calls, time.Now())
			if len(r.GetEvents()) != 100 {
				t.Errorf("a call has %d events, want 100", len(r.GetEvents()))
			}
			if len(calls) == 1 {
				return busyFor(t, connect.CodeResourceExhausted, durationpb.New(3*time.Second))
			}
			return nil
		},
	}, func(*testing.T) { time.Sleep(time.Minute) })
	if in.forwarded != 100 || len(calls) != 2 {
		t.Fatalf("%d events were forwarded after %d calls, want 100 after 2", in.forwarded, len(calls))
	}
	if waited := calls[1].Sub(calls[0]); waited < 3*time.Second {
		t.Errorf("the second call came after %v, want 3s or more", waited)
	}
	in.checkUnharmed(t)
}

// batchClient is a ticketsvc. A test decides its answers to calls with one event, and with several.
type batchClient struct {
	client
	record func(context.Context, *ticketv1.RecordTicketEventsRequest) error
}

// RecordTicketEvents implements [forwarder.Client].
func (c *batchClient) RecordTicketEvents(ctx context.Context, r *ticketv1.RecordTicketEventsRequest,
) (*ticketv1.RecordTicketEventsResponse, error) {
	if err := c.record(ctx, r); err != nil {
		return nil, err
	}
	return recordedAll(r), nil
}

// TestForwarder_rollingUpgrade has a ticketsvc that does not know RecordTicketEvents, is updated, and is rolled back.
func TestForwarder_rollingUpgrade(t *testing.T) {
	t.Parallel()
	const period, events = forwarder.SingleCallsPeriod, 100
	in := newMemoryInbox(0)
	var singles, batches, unknown atomic.Int64
	var old atomic.Bool
	old.Store(true)
	log := inBubbleWith(t, in, &batchClient{
		client: func(context.Context) error {
			singles.Add(1)
			return nil
		},
		record: func(context.Context, *ticketv1.RecordTicketEventsRequest) error {
			if old.Load() {
				unknown.Add(1)
				return wireError(connect.CodeUnimplemented, "there is no such procedure")
			}
			batches.Add(1)
			return nil
		},
	}, func(t *testing.T) {
		forward := func(what string, wantSingles, wantBatches, wantUnknown int64) {
			t.Helper()
			singles.Store(0)
			batches.Store(0)
			unknown.Store(0)
			before := in.countForwarded()
			in.add(events)
			time.Sleep(time.Second)
			if got := in.countForwarded() - before; got != events {
				t.Errorf("%s: %d of %d events were forwarded within a second", what, got, events)
			}
			if singles.Load() != wantSingles || batches.Load() != wantBatches || unknown.Load() != wantUnknown {
				t.Errorf("%s: %d single calls, %d of several events and %d that it did not know, want %d, %d and %d", what, singles.Load(),
					batches.Load(), unknown.Load(), wantSingles, wantBatches, wantUnknown)
			}
		}
		forward("an old ticketsvc", events, 0, 1)
		forward("which is not asked again at once", events, 0, 0)
		old.Store(false)
		forward("a new one that is not known yet", events, 0, 0)
		time.Sleep(period)
		forward("a new one", 0, 1, 0)
		old.Store(true)
		forward("an old one again", events, 0, 1)
		time.Sleep(period)
		forward("which is asked once", events, 0, 1)
	})
	if text := strings.Join(log, "\n"); len(log) != 3 || strings.Count(text, "does not know RecordTicketEvents") != 3 {
		t.Errorf("log, want one line for each time that it was asked:\n%s", text)
	}
	for id, row := range in.rows {
		if d := row.delivery; d.Attempts != 0 || d.Deferrals != 0 {
			t.Errorf("delivery %d: %d attempts and %d deferrals, want none", id, d.Attempts, d.Deferrals)
		}
	}
}

// TestForwarder_oldTicketsvcWithoutTokens has a ticketsvc that answers 404 to unknown procedures.
func TestForwarder_oldTicketsvcWithoutTokens(t *testing.T) {
	t.Parallel()
	b, s := newBox(t), newTicketsvc(nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == ticketv1connect.TicketEventServiceRecordTicketEventsProcedure {
			http.NotFound(w, r)
			return
		}
		s.handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.addMany(t, 500)
	var log logText
	stop := start(t, b, server.URL, &log)
	for id, r := range b.waitUntil(t, allInState(inbox.Forwarded)) {
		if diff := gocmp.Diff(row{State: inbox.Forwarded}, r); diff != "" || s.callsOf(id) != 1 {
			t.Errorf("event %s after %d calls: %s", id, s.callsOf(id), diff)
		}
	}
	stop()
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "does not know RecordTicketEvents") {
		t.Errorf("log, want one line that says that ticketsvc is old:\n%s", log.String())
	}
}

// TestForwarder_batchIsBounded has events that are too large to share one call.
func TestForwarder_batchIsBounded(t *testing.T) {
	t.Parallel()
	tags := `"` + strings.Repeat(`x","`, 7000) + `x"`
	for name, field := range map[string]string{
		"bytes":    `"title":"` + strings.Repeat("x", 300_000) + `"`,
		"elements": `"tags":[` + tags + `]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const events = 13
			b, s := newBox(t), newTicketsvc(nil)
			bounded := &boundedTicketsvc{ticketsvc: s}
			for i := range events {
				id := fmt.Sprint("e", i)
				b.add(t, id, strings.Replace(body(id), `"title":"x"`, field, 1))
			}
			_, handler := ticketv1connect.NewTicketEventServiceHandler(bounded)
			server := httptest.NewServer(handler)
			t.Cleanup(server.Close)
			start(t, b, server.URL, io.Discard)
			for id, r := range b.waitUntil(t, allInState(inbox.Forwarded)) {
				if diff := gocmp.Diff(row{State: inbox.Forwarded}, r); diff != "" || s.callsOf(id) != 1 {
					t.Errorf("event %s after %d calls: %s", id, s.callsOf(id), diff)
				}
			}
			if bounded.bytes > forwarder.MaxRequestBytes+1000 || bounded.elements > forwarder.MaxElements {
				t.Errorf("a call had %d bytes and %d elements, want at most about %d and %d", bounded.bytes, bounded.elements,
					forwarder.MaxRequestBytes, forwarder.MaxElements)
			}
			if sizes := s.batchSizes(); len(sizes) < 3 {
				t.Errorf("the calls of several events had %v events, want several calls", sizes)
			}
		})
	}
}

// boundedTicketsvc records the sizes of calls with several events.
type boundedTicketsvc struct {
	*ticketsvc

	measuring       sync.Mutex
	bytes, elements int
}

func (s *boundedTicketsvc) RecordTicketEvents(ctx context.Context, r *ticketv1.RecordTicketEventsRequest,
) (*ticketv1.RecordTicketEventsResponse, error) {
	count := len(r.GetEvents())
	for _, e := range r.GetEvents() {
		data, err := proto.Marshal(e)
		if err != nil {
			return nil, err
		}
		n, err := elements.InProto(data, e.ProtoReflect().Descriptor())
		if err != nil {
			return nil, err
		}
		count += n
	}
	s.measuring.Lock()
	s.bytes, s.elements = max(s.bytes, proto.Size(r)), max(s.elements, count)
	s.measuring.Unlock()
	return s.ticketsvc.RecordTicketEvents(ctx, r)
}

// TestForwarder_eventsCalledAloneHoldUpNoOthers has events whose calls hang until their deadline. They are called at the same time, and new
// events are forwarded at once.
func TestForwarder_eventsCalledAloneHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	const hangingClaims, hanging, fresh = 2, 200, 1000
	in := newMemoryInbox(hanging)
	var hangs atomic.Bool
	hangs.Store(true)
	var hung, batches atomic.Int64
	inBubbleWith(t, in, &batchClient{
		client: func(ctx context.Context) error {
			if !hangs.Load() {
				return nil
			}
			hung.Add(1)
			defer hung.Add(-1)
			<-ctx.Done()
			return connect.NewError(connect.CodeDeadlineExceeded, ctx.Err())
		},
		record: func(context.Context, *ticketv1.RecordTicketEventsRequest) error {
			if batches.Add(1) <= hangingClaims {
				return wireError(connect.CodeDeadlineExceeded, "it takes too long")
			}
			return nil
		},
	}, func(t *testing.T) {
		time.Sleep(time.Second)
		synctest.Wait()
		if got := hung.Load(); got != hanging {
			t.Errorf("%d calls hang, want %d beside one another", got, hanging)
		}
		in.add(fresh)
		time.Sleep(10 * time.Millisecond)
		if got := in.countForwarded(); got != fresh {
			t.Errorf("%d of %d new events were forwarded at once", got, fresh)
		}
		hangs.Store(false)
		time.Sleep(30 * time.Second)
		if got := in.countForwarded(); got != hanging+fresh {
			t.Errorf("%d events were forwarded, want %d", got, hanging+fresh)
		}
	})
	in.checkUnharmed(t)
}

// TestForwarder_eventsCalledAloneAreBounded has many events that are called alone because ticketsvc does not know RecordTicketEvents.
func TestForwarder_eventsCalledAloneAreBounded(t *testing.T) {
	t.Parallel()
	const events, callTime = 1000, 100 * time.Millisecond
	in := newMemoryInbox(events)
	var inFlight atomic.Int64
	inBubbleWith(t, in, &batchClient{
		client: func(context.Context) error {
			inFlight.Add(1)
			defer inFlight.Add(-1)
			time.Sleep(callTime)
			return nil
		},
		record: func(context.Context, *ticketv1.RecordTicketEventsRequest) error {
			return wireError(connect.CodeUnimplemented, "there is no such procedure")
		},
	}, func(t *testing.T) {
		for at := callTime / 2; at < events/forwarder.MaxEvents*callTime; at += callTime {
			time.Sleep(callTime / 2)
			synctest.Wait()
			if got := inFlight.Load(); got != forwarder.MaxEvents {
				t.Errorf("%d calls are in flight after %v, want %d", got, at, forwarder.MaxEvents)
			}
			time.Sleep(callTime / 2)
		}
		time.Sleep(time.Second)
		if got := in.countForwarded(); got != events {
			t.Errorf("%d of %d events were forwarded", got, events)
		}
	})
}

// TestForwarder_traceParent has an event that is called by itself, with the trace context that was sent with it.
func TestForwarder_traceParent(t *testing.T) {
	t.Parallel()
	const traceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	b, s := newBox(t), newTicketsvc(nil)
	headers := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header.Get("Traceparent")
		s.handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.addWith(t, "e", body("e"), inbox.Headers{TraceParent: traceParent})
	start(t, b, server.URL, io.Discard)
	if got := <-headers; got != traceParent {
		t.Errorf("the call has the trace %q, want %q", got, traceParent)
	}
}
