package rpc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// stubStore answers every call by its function.
type stubStore struct {
	ticket.Store
	call func(context.Context) error
}

func (s stubStore) Record(ctx context.Context, changes []ticket.Change) ([]ticket.Recorded, error) {
	return make([]ticket.Recorded, len(changes)), s.call(ctx)
}

func (s stubStore) Get(ctx context.Context, _ string) (ticket.Ticket, error) {
	return ticket.Ticket{}, s.call(ctx)
}

func (s stubStore) List(ctx context.Context, _ ticket.Filter, _ ticket.Order, _ *ticket.Cursor, _ int) ([]ticket.Ticket, bool, error) {
	return nil, false, s.call(ctx)
}

// wireCodes says what each error is over the wire.
var wireCodes = []struct {
	err  error
	want connect.Code
}{
	{context.Canceled, connect.CodeCanceled},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
	{ticket.ErrBusy, connect.CodeResourceExhausted},
	{ticket.ErrStopping, connect.CodeUnavailable},
	{ticket.ErrUnavailable, connect.CodeUnavailable},
	{ticket.ErrNotFound, connect.CodeNotFound},
	{ticket.ErrHeld, connect.CodeAborted},
	{ticket.ErrNewer, connect.CodeAborted},
	{ticket.ErrCorrupt, connect.CodeDataLoss},
	{&ticket.InvalidError{Violations: []ticket.Violation{{Field: "f", Description: "d"}}}, connect.CodeInvalidArgument},
	{errors.New("anything else"), connect.CodeInternal},
}

func TestEveryErrorHasItsCodeOverTheWire(t *testing.T) {
	t.Parallel()
	for _, test := range wireCodes {
		for protocol := range protocols {
			t.Run(fmt.Sprintf("%v by %s", test.err, protocol), func(t *testing.T) {
				t.Parallel()
				s := mustServe(t, stubStore{call: func(context.Context) error {
					return fmt.Errorf("of a driver that quotes %s: %w", personal, test.err)
				}})
				c := newClient(t, s, protocol)
				_, getErr := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t"})
				_, recordErr := c.TicketCreated(t.Context(), created("e", "t", 1))
				for _, err := range []error{getErr, recordErr} {
					if connect.CodeOf(err) != test.want || strings.Contains(err.Error(), personal) {
						t.Errorf("error %v, want %v and nothing of the inner text", err, test.want)
					}
				}
			})
		}
	}
}

func TestOneEventThatFailsGetsItsOwnError(t *testing.T) {
	t.Parallel()
	s := mustServe(t, failingStore{})
	c := newClient(t, s, "gRPC")
	if _, err := c.TicketCreated(t.Context(), created("e", "bad", 1)); connect.CodeOf(err) != connect.CodeDataLoss {
		t.Errorf("error %v, want DATA_LOSS", err)
	}
	if log := s.log.String(); !strings.Contains(log, "bad") || strings.Contains(log, personal) {
		t.Errorf("log %q, want the ticket's id and nothing personal", log)
	}
}

type failingStore struct{ ticket.Store }

func (failingStore) Record(_ context.Context, changes []ticket.Change) ([]ticket.Recorded, error) {
	recorded := make([]ticket.Recorded, len(changes))
	for i := range recorded {
		recorded[i].Err = ticket.ErrCorrupt
	}
	return recorded, nil
}

func TestWhatIsWrongWithARequestIsInItsDetails(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{})
	for protocol := range protocols {
		request := created("", "t", 1)
		request.FieldMask.Paths = []string{"revision"}
		_, err := newClient(t, s, protocol).TicketCreated(t.Context(), request)
		var wire *connect.Error
		if !errors.As(err, &wire) || wire.Code() != connect.CodeInvalidArgument || len(wire.Details()) != 1 {
			t.Fatalf("%s: %v, want INVALID_ARGUMENT with one detail", protocol, err)
		}
		detail, err := wire.Details()[0].Value()
		if err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, v := range detail.(*errdetails.BadRequest).GetFieldViolations() {
			fields = append(fields, v.GetField())
		}
		if diff := cmp.Diff([]string{"event.event_id", "field_mask"}, fields); diff != "" {
			t.Errorf("%s: %s", protocol, diff)
		}
	}
}

func TestAPanicIsInternalAndStaysOutOfTheLog(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{call: func(context.Context) error { panic(personal) }})
	_, err := newClient(t, s, "Connect").GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t"})
	if connect.CodeOf(err) != connect.CodeInternal || strings.Contains(err.Error(), personal) {
		t.Errorf("error %v, want INTERNAL and nothing of the panic", err)
	}
	if log := s.log.String(); !strings.Contains(log, "GetTicket") || !strings.Contains(log, "stack") || strings.Contains(log, personal) {
		t.Errorf("log %q, want the procedure and the stack, without the value", log)
	}
}

func TestRequestsOverTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{call: func(context.Context) error { return nil }})
	request := created("e", "t", 1)
	for _, test := range []struct {
		bytes int
		want  connect.Code
	}{{7 << 20, 0}, {16<<20 + 1, connect.CodeResourceExhausted}} {
		request.Ticket.Description = strings.Repeat("x", test.bytes)
		for _, options := range [][]connect.ClientOption{{connect.WithGRPC()}, {connect.WithGRPC(), connect.WithSendGzip()}} {
			_, err := newClient(t, s, "gRPC", options...).TicketCreated(t.Context(), request)
			if err == nil && test.want == 0 {
				continue
			}
			if connect.CodeOf(err) != test.want {
				t.Errorf("%d bytes: %v, want %v", test.bytes, err, test.want)
			}
		}
	}
}

func TestACallEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			s := mustServe(t, stubStore{call: func(ctx context.Context) error {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-release:
					return nil
				}
			}})
			defer close(release)
			c := newClient(t, s, protocol)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := c.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: "t"}); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
				t.Errorf("reading: %v, want DEADLINE_EXCEEDED", err)
			}
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := c.TicketCreated(ctx, created("e", "t", 1)); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
				t.Errorf("recording: %v, want DEADLINE_EXCEEDED", err)
			}
		})
	}
}

func TestWhatIsNotBuiltYetSaysSo(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, stubStore{}), "gRPC")
	_, statsErr := c.GetTicketStats(t.Context(), &ticketv1.GetTicketStatsRequest{})
	stream, watchErr := c.WatchTickets(t.Context(), &ticketv1.WatchTicketsRequest{})
	if watchErr == nil {
		stream.Receive()
		watchErr = errors.Join(stream.Err(), stream.Close())
	}
	for name, err := range map[string]error{"GetTicketStats": statsErr, "WatchTickets": watchErr} {
		if connect.CodeOf(err) != connect.CodeUnimplemented {
			t.Errorf("%s: %v, want UNIMPLEMENTED", name, err)
		}
	}
}

func TestATextThatCannotBeLookedForIsNotRepeated(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, stubStore{}), "gRPC")
	_, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{Filter: &ticketv1.TicketFilter{Text: strings.Repeat(personal+" ", 256)}})
	if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "filter.text must have at most 256 bytes") || strings.Contains(err.Error(), personal) {
		t.Errorf("a filter's text: %v", err)
	}
}

func TestPageTokensAreGoodForTheirQueryOnly(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, mustOpenStore(t)), "gRPC")
	for i := range 3 {
		if _, err := c.TicketCreated(t.Context(), created(fmt.Sprintf("e%d", i), "t", int64(i))); err != nil {
			t.Fatal(err)
		}
		if _, err := c.TicketCreated(t.Context(), created(fmt.Sprintf("other%d", i), fmt.Sprintf("t%d", i), int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	list := func(token, orderBy string, filter *ticketv1.TicketFilter) (string, error) {
		page, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{PageSize: 1, PageToken: token, OrderBy: orderBy, Filter: filter})
		return page.GetNextPageToken(), err
	}
	events := func(token, ticketID string) (string, error) {
		page, err := c.ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{PageSize: 1, PageToken: token, TicketId: ticketID})
		return page.GetNextPageToken(), err
	}
	filter := &ticketv1.TicketFilter{AppIds: []string{"app", "x"}, Text: "heiz kalt"}
	listToken, err := list("", "", filter)
	if err != nil {
		t.Fatal(err)
	}
	eventToken, err := events("", "t")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list(listToken, "update_time desc", &ticketv1.TicketFilter{AppIds: []string{"x", "app", "app"}, Text: "KALT, heiz"}); err != nil {
		t.Errorf("the same query, said in another way: %v", err)
	}
	wrong := map[string]func() (string, error){
		"another order": func() (string, error) { return list(listToken, "update_time", filter) },
		"another filter": func() (string, error) {
			return list(listToken, "", &ticketv1.TicketFilter{AppIds: []string{"app"}, Text: "heiz kalt"})
		},
		"another text": func() (string, error) {
			return list(listToken, "", &ticketv1.TicketFilter{AppIds: []string{"app", "x"}, Text: "heiz"})
		},
		"no filter": func() (string, error) { return list(listToken, "", nil) },
		"ids elsewhere": func() (string, error) {
			return list(listToken, "", &ticketv1.TicketFilter{CategoryIds: []string{"app", "x"}, Text: "heiz kalt"})
		},
		"another RPC":          func() (string, error) { return events(listToken, "t") },
		"another RPC's":        func() (string, error) { return list(eventToken, "", filter) },
		"another ticket":       func() (string, error) { return events(eventToken, "t1") },
		"with something added": func() (string, error) { return events(eventToken+"AA", "t") },
		"with padding":         func() (string, error) { return events(eventToken+"=", "t") },
		"with a line break":    func() (string, error) { return events(eventToken+"\n", "t") },
		"cut short":            func() (string, error) { return events(eventToken[:len(eventToken)-4], "t") },
	}
	raw, err := base64.RawURLEncoding.DecodeString(listToken)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		wrong[fmt.Sprintf("byte %d changed", i)] = func() (string, error) { return list(base64.RawURLEncoding.EncodeToString(changed), "", filter) }
	}
	for name, call := range wrong {
		if _, err := call(); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("a token %s: %v, want INVALID_ARGUMENT", name, err)
		}
	}
}

func FuzzPageToken(f *testing.F) {
	log := slog.New(slog.DiscardHandler)
	service := rpc.New(stubStore{call: func(context.Context) error { return nil }}, func(context.Context) error { return nil }, log)
	f.Cleanup(func() { _ = service.Close(context.Background()) })
	handler := service.NewServer(rpc.Security{}, log).Handler
	f.Add("")
	f.Add("AQ")
	f.Add(base64.RawURLEncoding.EncodeToString(append([]byte{1}, make([]byte, 40)...)))
	f.Fuzz(func(t *testing.T, token string) {
		body, err := protojson.Marshal(&ticketv1.ListTicketsRequest{PageToken: token})
		if err != nil {
			return // Not UTF-8, which no client can send.
		}
		request := httptest.NewRequest(http.MethodPost, "/allthings.ticket.v1.TicketService/ListTickets", bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if wantStatus := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[token == ""]; answer.Code != wantStatus {
			t.Errorf("token %q: status %d, want %d", token, answer.Code, wantStatus)
		}
	})
}

func TestRequestsThatCannotBeReadAreNotRepeated(t *testing.T) {
	t.Parallel()
	service := rpc.New(stubStore{}, func(context.Context) error { return nil }, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = service.Close(context.Background()) })
	server := httptest.NewServer(service.NewServer(rpc.Security{}, slog.New(slog.DiscardHandler)).Handler)
	t.Cleanup(server.Close)
	for name, request := range map[string]string{
		"a text for a number": `{"ticket": {"commentCount": "Max Muster"}}`,
		"a text for a time":   `{"ticket": {"createTime": "Max Muster"}}`,
		"no JSON":             `{"ticket": Max Muster}`,
		"a text for an enum":  `{"ticket": {"status": "Max Muster"}}`,
	} {
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8"} {
			t.Run(name+" as "+contentType, func(t *testing.T) {
				t.Parallel()
				response, err := server.Client().Post(server.URL+"/allthings.ticket.v1.TicketEventService/TicketUpdated", contentType, strings.NewReader(request))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				var answer bytes.Buffer
				if _, err := answer.ReadFrom(response.Body); err != nil {
					t.Fatal(err)
				}
				if response.StatusCode != http.StatusBadRequest || strings.Contains(answer.String(), "Max") || !strings.Contains(answer.String(), "invalid_argument") {
					t.Errorf("%d %s, want 400 invalid_argument without what was sent", response.StatusCode, &answer)
				}
			})
		}
	}
}
