package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func eventCreated(request *ticketv1.TicketCreatedRequest) *ticketv1.TicketEventRequest {
	return &ticketv1.TicketEventRequest{Request: &ticketv1.TicketEventRequest_Created{Created: request}}
}

// eventUpdated returns an update that closes a ticket.
func eventUpdated(eventID, ticketID string, seconds int64) *ticketv1.TicketEventRequest {
	return &ticketv1.TicketEventRequest{Request: &ticketv1.TicketEventRequest_Updated{Updated: &ticketv1.TicketUpdatedRequest{
		Event: &ticketv1.EventMetadata{EventId: eventID, OccurTime: at(seconds)}, Ticket: &ticketv1.Ticket{TicketId: ticketID,
			StatusText: "closed"}, FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"status_text"}}}}}
}

func resultCreated(response *ticketv1.TicketCreatedResponse) *ticketv1.TicketEventResult {
	return &ticketv1.TicketEventResult{Result: &ticketv1.TicketEventResult_Created{Created: response}}
}

func resultUpdated(response *ticketv1.TicketUpdatedResponse) *ticketv1.TicketEventResult {
	return &ticketv1.TicketEventResult{Result: &ticketv1.TicketEventResult_Updated{Updated: response}}
}

func resultError(code connect.Code, reason, message string, retryDelay *durationpb.Duration) *ticketv1.TicketEventResult {
	return &ticketv1.TicketEventResult{Result: &ticketv1.TicketEventResult_Error{
		Error: &ticketv1.TicketEventError{Code: int32(code), Reason: reason, Message: message, RetryDelay: retryDelay}}}
}

// recordEvents records events in one call, and returns their results.
func recordEvents(t *testing.T, c client, events ...*ticketv1.TicketEventRequest) ([]*ticketv1.TicketEventResult, error) {
	t.Helper()
	response, err := c.RecordTicketEvents(t.Context(), &ticketv1.RecordTicketEventsRequest{Events: events})
	if err == nil && len(response.GetResults()) != len(events) {
		t.Fatalf("%d results for %d events", len(response.GetResults()), len(events))
	}
	return response.GetResults(), err
}

// failingTickets is a store in which the events of some tickets fail.
type failingTickets struct {
	ticket.Store
	errs map[string]error
}

func (s failingTickets) Append(ctx context.Context, changes []ticket.Change) ([]ticket.AppendResult, error) {
	all := make([]ticket.AppendResult, len(changes))
	var good []ticket.Change
	var positions []int
	for i, c := range changes {
		if all[i].Err = s.errs[c.TicketID]; all[i].Err == nil {
			good, positions = append(good, c), append(positions, i)
		}
	}
	recorded, err := s.Store.Append(ctx, good)
	for i, r := range recorded {
		all[positions[i]] = r
	}
	return all, err
}

// TestRecordTicketEvents_answersEachEvent has events with every outcome in one call, twice, on both engines and with every protocol.
func TestRecordTicketEvents_answersEachEvent(t *testing.T) {
	t.Parallel()
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			store := open(t)[0]
			mustErase(t, store, "erased")
			s := mustServe(t, failingTickets{store, map[string]error{"unreadable": ticket.ErrCorrupt, "held": ticket.ErrLocked}})
			for protocol := range protocols {
				c := newClient(t, s, protocol)
				id := func(name string) string { return protocol + " " + name }
				noTime := eventUpdated(id("no time"), id("t1"), 1)
				noTime.GetUpdated().Event.OccurTime = nil
				full := created(id("full"), id("full"), 1)
				full.Ticket.Title, full.FieldMask.Paths = strings.Repeat("x", ticket.MaxBytes-2048), []string{"title"}
				if _, err := c.TicketCreated(t.Context(), full); err != nil {
					t.Fatal(err)
				}
				tooMuch := created(id("too much"), id("full"), 2)
				tooMuch.Ticket.Description, tooMuch.FieldMask.Paths = strings.Repeat("x", 4096), []string{"description"}
				events := []*ticketv1.TicketEventRequest{
					eventUpdated(id("e2"), id("t1"), 2),
					eventCreated(created(id("e1"), id("t1"), 1)),
					eventCreated(created(strings.Repeat("x", 257), id("t1"), 1)),
					eventCreated(created(id("e3"), "unreadable", 1)),
					eventUpdated(id("e4"), "erased", 1),
					{},
					eventUpdated(id("e2"), id("t1"), 2),
					noTime,
					eventUpdated(id("e5"), "held", 1),
					eventCreated(tooMuch),
					eventCreated(created(id("e6"), id("t2"), 1)),
				}
				const sentenceOfFull = "the ticket would be larger with the event than the 11 MiB that a ticket may have: retry after later" +
					" events have made it smaller"
				for _, again := range []bool{false, true} {
					want := []*ticketv1.TicketEventResult{
						resultUpdated(&ticketv1.TicketUpdatedResponse{Duplicate: again}),
						resultCreated(&ticketv1.TicketCreatedResponse{Duplicate: again}),
						resultError(connect.CodeInvalidArgument, "", "event.event_id must have at most 256 bytes", nil),
						resultError(connect.CodeDataLoss, "TICKET_UNREADABLE",
							"what is stored of the ticket can't be read", nil),
						resultUpdated(&ticketv1.TicketUpdatedResponse{TicketErased: true}),
						resultError(connect.CodeInvalidArgument, "", "request must be created or updated", nil),
						resultUpdated(&ticketv1.TicketUpdatedResponse{Duplicate: true}),
						resultError(connect.CodeInvalidArgument, "", "event.occur_time must be set", nil),
						resultError(connect.CodeAborted, "TICKET_LOCKED",
							"another writer holds the ticket: retry later",
							&durationpb.Duration{Seconds: 1}),
						resultError(connect.CodeResourceExhausted, "TICKET_TOO_LARGE",
							sentenceOfFull, nil),
						resultCreated(&ticketv1.TicketCreatedResponse{Duplicate: again}),
					}
					results, err := recordEvents(t, c, events...)
					if err != nil {
						t.Fatalf("%s: %v", protocol, err)
					}
					var positions []*ticketv1.LogPosition
					for i, result := range results {
						position := result.GetCreated().GetLogPosition()
						switch r := result.GetResult().(type) {
						case *ticketv1.TicketEventResult_Created:
							r.Created.LogPosition = nil
						case *ticketv1.TicketEventResult_Updated:
							position, r.Updated.LogPosition = r.Updated.GetLogPosition(), nil
						}
						expect(t, want[i], result)
						if result.GetError() == nil {
							positions = append(positions, position)
						}
					}
					// The events may be in several commits.
					held, err := c.CheckLogPositions(t.Context(), &ticketv1.CheckLogPositionsRequest{Positions: positions})
					if err != nil || len(held.GetMissing()) > 0 || positions[len(positions)-1].GetSequence() == 0 {
						t.Errorf("%s: of the positions %v the log lacks %v, %v", protocol, positions, held.GetMissing(), err)
					}
				}
				got, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: id("t1")})
				if err != nil || got.GetTicket().GetRevision() != 2 || got.GetTicket().GetStatusText() != "closed" {
					t.Errorf("%s: revision %d, status %q, %v", protocol, got.GetTicket().GetRevision(), got.GetTicket().GetStatusText(), err)
				}
			}
			if log := s.log.String(); !strings.Contains(log, "unreadable") || !strings.Contains(log, "RecordTicketEvents") ||
				strings.Contains(log, personal) {
				t.Errorf("log %.2000q, want the ticket's id and nothing personal", log)
			}
		})
	}
}

func TestRecordTicketEvents_takesOneTo512Events(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{call: func(context.Context) error { return nil }})
	for protocol := range protocols {
		c := newClient(t, s, protocol)
		for count, want := range map[int]connect.Code{0: connect.CodeInvalidArgument, 1: 0, 512: 0, 513: connect.CodeInvalidArgument,
			100_000: connect.CodeInvalidArgument} {
			events := make([]*ticketv1.TicketEventRequest, count)
			for i := range events {
				events[i] = eventUpdated(fmt.Sprint("e", i), "t", 1)
			}
			results, err := recordEvents(t, c, events...)
			if want == 0 && err != nil || want != 0 && (connect.CodeOf(err) != want || !strings.Contains(err.Error(), "events must be 1 to 512")) {
				t.Errorf("%s: %d events: %v, want %v", protocol, count, err, want)
			}
			for i, result := range results {
				if result.GetUpdated() == nil {
					t.Fatalf("%s: event %d of %d: %v", protocol, i, count, result)
				}
			}
		}
	}
}

// isTooLarge reports whether an error is that of a request that is too large, without a retry delay.
func isTooLarge(t *testing.T, err error, text string) bool {
	t.Helper()
	return connect.CodeOf(err) == connect.CodeResourceExhausted && strings.Contains(err.Error(), text) && retryDelay(t, err) == 0
}

func TestRecordTicketEvents_hasAtMostSoManyElements(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{call: func(context.Context) error { return nil }})
	for name, options := range map[string][]connect.ClientOption{
		"protobuf": nil, "gzip": {connect.WithSendGzip()}, "JSON": {connect.WithProtoJSON()},
	} {
		for _, protocol := range []string{"Connect", "gRPC"} {
			c := newClient(t, s, protocol, options...)
			for _, place := range []string{"custom_settings", "attributes of a setting", "attributes", "tags", "field_mask"} {
				most, tooMany := eventCreated(withElements(place, elements.Max)), eventCreated(withElements(place, elements.Max+1))
				results, err := recordEvents(t, c, most, most)
				if err != nil || results[0].GetCreated() == nil || results[1].GetCreated() == nil {
					t.Errorf("%s, %s: twice %d in %s: %v, %v", protocol, name, elements.Max, place, results, err)
				}
				results, err = recordEvents(t, c, eventUpdated("e", "t", 1), tooMany, eventUpdated("e", "t", 1))
				if err != nil || results[0].GetUpdated() == nil || results[2].GetUpdated() == nil ||
					results[1].GetError().GetCode() != int32(connect.CodeInvalidArgument) ||
					!strings.Contains(results[1].GetError().GetMessage(), "elements") {
					t.Errorf("%s, %s: %d in %s: %.500v, %v; want that this event fails", protocol, name, elements.Max+1, place, results, err)
				}
				if _, err = recordEvents(t, c, most, most, eventUpdated("e", "t", 1)); !isTooLarge(t, err, "elements") {
					t.Errorf("%s, %s: %d in %s: %v, want RESOURCE_EXHAUSTED", protocol, name, elements.MaxInBatch+1, place, err)
				}
				if _, err = recordEvents(t, c, eventCreated(withElements(place, elements.MaxInBatch+1))); !isTooLarge(t, err, "elements") {
					t.Errorf("%s, %s: %d in %s of one event: %v, want RESOURCE_EXHAUSTED", protocol, name, elements.MaxInBatch+1, place, err)
				}
			}
		}
	}
}

// largestBatch returns a request of that many bytes in protobuf, with the maximum numbers of events and elements.
func largestBatch(size int) *ticketv1.RecordTicketEventsRequest {
	request := &ticketv1.RecordTicketEventsRequest{}
	for i := range elements.MaxBatchEvents {
		event := created(fmt.Sprint("e", i), fmt.Sprint("t", i), 1)
		event.Ticket = &ticketv1.Ticket{TicketId: event.Ticket.TicketId}
		event.FieldMask.Paths = []string{"title", "tags"}
		event.Ticket.Tags = make([]string, elements.MaxInBatch/elements.MaxBatchEvents-len(event.FieldMask.Paths))
		event.Ticket.Title = strings.Repeat("x", size/elements.MaxBatchEvents-300)
		request.Events = append(request.Events, eventCreated(event))
	}
	first := request.Events[0].GetCreated()
	first.Ticket.Tags = append(first.Ticket.Tags, make([]string, elements.MaxInBatch%elements.MaxBatchEvents)...)
	first.Ticket.Title += strings.Repeat("x", size-proto.Size(request)-8)
	first.Ticket.Title += strings.Repeat("x", size-proto.Size(request))
	return request
}

// TestRecordTicketEvents_hasAtMost16MiB has requests of exactly the maximum size, with the maximum numbers of events and elements, and
// requests with one byte more.
func TestRecordTicketEvents_hasAtMost16MiB(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{call: func(context.Context) error { return nil }})
	most, tooLarge := largestBatch(elements.MaxBatchBytes), largestBatch(elements.MaxBatchBytes+1)
	if proto.Size(most) != 16<<20 || proto.Size(tooLarge) != 16<<20+1 {
		t.Fatalf("%d and %d bytes", proto.Size(most), proto.Size(tooLarge))
	}
	for _, protocol := range []string{"Connect", "gRPC", "gRPC-Web"} {
		for name, options := range map[string][]connect.ClientOption{"as it is": nil, "compressed": {connect.WithSendGzip()}} {
			c := newClient(t, s, protocol, options...)
			results, err := recordEvents(t, c, most.GetEvents()...)
			if err != nil || results[0].GetCreated() == nil || results[len(results)-1].GetCreated() == nil {
				t.Errorf("%s, %s: %.500v, %v", protocol, name, results, err)
			}
			if _, err := recordEvents(t, c, tooLarge.GetEvents()...); !isTooLarge(t, err, "larger than 16777216 bytes") {
				t.Errorf("%s, %s: one byte more: %v, want RESOURCE_EXHAUSTED", protocol, name, err)
			}
		}
	}
	for i, request := range []*ticketv1.RecordTicketEventsRequest{most, tooLarge} {
		// JSON needs more bytes for the same events: some of the titles are left out.
		for _, event := range request.GetEvents()[:16] {
			event.GetCreated().Ticket.Title = ""
		}
		text, err := protojson.Marshal(request)
		if err != nil || len(text) > elements.MaxBatchBytes {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		text = append(text, bytes.Repeat([]byte(" "), elements.MaxBatchBytes+i-len(text))...)
		for _, encoding := range []string{"", "gzip"} {
			body := text
			if encoding != "" {
				body = zipped(t, text)
			}
			post, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
				s.url+ticketv1connect.TicketEventServiceRecordTicketEventsProcedure, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			post.Header.Set("Content-Type", "application/json")
			if encoding != "" {
				post.Header.Set("Content-Encoding", encoding)
			}
			response, err := newClient(t, s, "Connect").http.Do(post)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			want := []int{http.StatusOK, http.StatusTooManyRequests}[i]
			if err != nil || response.StatusCode != want {
				t.Errorf("%d bytes of JSON, encoding %q: %d %.500s, %v; want %d", len(text), encoding, response.StatusCode, answer, err, want)
			}
			var results struct{ Results []any }
			if err := json.Unmarshal(answer, &results); err != nil || i == 0 && len(results.Results) != elements.MaxBatchEvents {
				t.Errorf("JSON, encoding %q: %d results, %v", encoding, len(results.Results), err)
			}
		}
	}
}

// TestRecordTicketEvents_refusesAnEventThatIsTooLarge has events of the maximum size of a single call, and larger events.
func TestRecordTicketEvents_refusesAnEventThatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	for protocol := range protocols {
		c := newClient(t, s, protocol)
		largest := created(protocol, protocol, 1)
		if protocol == "Connect JSON" {
			text, err := protojson.Marshal(largest)
			if err != nil {
				t.Fatal(err)
			}
			// protojson's use of white space differs between processes.
			largest.Ticket.Title += strings.Repeat("x", rpc.MaxReadBytes-2*len(text))
		} else {
			largest.Ticket.Title += strings.Repeat("x", rpc.MaxReadBytes-proto.Size(largest)-8)
			largest.Ticket.Title += strings.Repeat("x", rpc.MaxReadBytes-proto.Size(largest))
		}
		larger := proto.CloneOf(largest)
		larger.Ticket.Title += strings.Repeat("x", 1<<20)
		if results, err := recordEvents(t, c, eventCreated(largest)); err != nil || results[0].GetCreated() == nil {
			t.Errorf("%s: the largest: %.500v, %v", protocol, results, err)
		}
		results, err := recordEvents(t, c, eventUpdated(protocol+"1", "t", 1), eventCreated(larger), eventUpdated(protocol+"2", "t", 1))
		if err != nil || results[0].GetUpdated() == nil || results[2].GetUpdated() == nil ||
			results[1].GetError().GetCode() != int32(connect.CodeResourceExhausted) || results[1].GetError().GetRetryDelay() != nil ||
			!strings.Contains(results[1].GetError().GetMessage(), "larger than 11534336 bytes") {
			t.Errorf("%s: a larger one: %.500v, %v; want that it fails alone", protocol, results, err)
		}
		if _, err := c.TicketCreated(t.Context(), larger); !isTooLarge(t, err, "larger than 11534336 bytes") {
			t.Errorf("%s: a larger one in a call of its own: %v, want RESOURCE_EXHAUSTED", protocol, err)
		}
	}
}

// TestRecordTicketEvents_amongOtherCalls has callers that send the same events, in calls of many and of one, in different orders. Each
// event must take effect once.
func TestRecordTicketEvents_amongOtherCalls(t *testing.T) {
	t.Parallel()
	const callers, count, tickets = 6, 120, 7
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			var clients []client
			for _, store := range open(t) {
				clients = append(clients, newClient(t, mustServe(t, store), "gRPC"))
			}
			var effects [count]atomic.Int64
			var calls sync.WaitGroup
			for caller := range callers {
				calls.Go(func() {
					c := clients[caller%len(clients)]
					var events []*ticketv1.TicketEventRequest
					var numbers []int
					for i := range count {
						n := (i*(2*caller+1) + 11*caller) % count
						event := eventUpdated(fmt.Sprint("e", n), fmt.Sprint("t", n%tickets), int64(n))
						if i%40 == caller {
							response, err := c.TicketUpdated(t.Context(), event.GetUpdated())
							if err != nil {
								t.Error(err)
							} else if !response.GetDuplicate() {
								effects[n].Add(1)
							}
						}
						events, numbers = append(events, event), append(numbers, n)
					}
					results, err := recordEvents(t, c, events...)
					if err != nil {
						t.Error(err)
					}
					for i, result := range results {
						if result.GetUpdated() == nil {
							t.Errorf("event %d: %v", numbers[i], result)
						} else if !result.GetUpdated().GetDuplicate() {
							effects[numbers[i]].Add(1)
						}
					}
				})
			}
			calls.Wait()
			for n := range effects {
				if got := effects[n].Load(); got > 1 {
					t.Errorf("event %d takes effect %d times", n, got)
				}
			}
			var revisions int64
			for i := range tickets {
				got, err := clients[0].GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: fmt.Sprint("t", i)})
				if err != nil {
					t.Fatal(err)
				}
				revisions += got.GetTicket().GetRevision()
			}
			if revisions != count {
				t.Errorf("%d events are recorded, want %d", revisions, count)
			}
		})
	}
}

// TestRecordTicketEvents_endsWithItsCaller has a caller that disconnects while its events are recorded.
func TestRecordTicketEvents_endsWithItsCaller(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		begun, release := make(chan struct{}), make(chan struct{})
		begin := sync.OnceFunc(func() { close(begun) })
		s := mustServe(t, stubStore{call: func(context.Context) error {
			begin()
			<-release
			return nil
		}})
		c := newClient(t, s, protocol)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-begun
			cancel()
		}()
		_, err := c.RecordTicketEvents(ctx, &ticketv1.RecordTicketEventsRequest{Events: []*ticketv1.TicketEventRequest{
			eventUpdated("e1", "t", 1), eventUpdated("e2", "t", 1)}})
		if connect.CodeOf(err) != connect.CodeCanceled && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want CANCELED", protocol, err)
		}
		close(release)
	}
}
