package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// wireCodes has the code of each error over the wire. retried is set if the error has a retry delay.
var wireCodes = []struct {
	err     error
	want    connect.Code
	retried bool
}{
	{context.Canceled, connect.CodeCanceled, false},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded, false},
	{ticket.ErrTooManyWaiting, connect.CodeResourceExhausted, true},
	{ticket.ErrStopping, connect.CodeUnavailable, true},
	{ticket.ErrUnavailable, connect.CodeUnavailable, true},
	{ticket.ErrNotFound, connect.CodeNotFound, false},
	{ticket.ErrLocked, connect.CodeAborted, true},
	{ticket.ErrNewerVersion, connect.CodeAborted, false},
	{ticket.ErrCorrupt, connect.CodeDataLoss, false},
	{watch.ErrNotInLog, connect.CodeOutOfRange, false},
	{watch.ErrLogReplaced, connect.CodeUnavailable, true},
	{watch.ErrTooManyWatchers, connect.CodeResourceExhausted, true},
	{watch.ErrTooManyReads, connect.CodeResourceExhausted, true},
	{watch.ErrStopping, connect.CodeUnavailable, true},
	{rpc.ErrSlow, connect.CodeResourceExhausted, true},
	{&ticket.InvalidError{Violations: []ticket.Violation{{Field: "f", Description: "d"}}}, connect.CodeInvalidArgument, false},
	{errors.New("anything else"), connect.CodeInternal, false},
}

// retryDelay returns the retry delay of an error, 0 if it has none.
func retryDelay(t *testing.T, err error) time.Duration {
	t.Helper()
	var wire *connect.Error
	if !errors.As(err, &wire) {
		return 0
	}
	for _, detail := range wire.Details() {
		value, err := detail.Value()
		if err != nil {
			t.Fatal(err)
		}
		if info, ok := value.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func TestErrorMapper_codes(t *testing.T) {
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
				_, statsErr := c.GetTicketStats(t.Context(), &ticketv1.GetTicketStatsRequest{})
				results, err := recordEvents(t, c, eventCreated(created("e", "t", 1)))
				if err != nil {
					t.Fatal(err)
				}
				if failure := results[0].GetError(); failure.GetCode() != int32(test.want) || strings.Contains(failure.GetMessage(), personal) ||
					(failure.GetRetryDelay().AsDuration() >= time.Second) != test.retried || failure.GetMessage() == "" ||
					failure.GetReason() != reasonOf(t, recordErr) {
					t.Errorf("the error of an event of several: %v, want %v as in a call of its own", failure, test.want)
				}
				for _, err := range []error{getErr, recordErr, statsErr} {
					if connect.CodeOf(err) != test.want || strings.Contains(err.Error(), personal) {
						t.Errorf("error %v, want %v and nothing of the inner text", err, test.want)
					}
					if delay := retryDelay(t, err); (delay >= time.Second) != test.retried {
						t.Errorf("the caller of %v has the retry delay %v; want a retry delay: %v", err, delay, test.retried)
					}
				}
			})
		}
	}
}

// TestErrorMapper_reasonsAreDocumented compares the reasons with the table of docs/errors.md.
func TestErrorMapper_reasonsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(\\w+)` \\| .+ \\|$").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, row[1]+" "+row[2])
	}
	reasons := rpc.Reasons()
	slices.Sort(reasons)
	slices.Sort(documented)
	if diff := cmp.Diff(slices.Compact(reasons), documented); diff != "" {
		t.Errorf("the reasons, and those of docs/errors.md: %s", diff)
	}
}

// reasonOf returns the reason of an error, as a program reads it.
func reasonOf(t *testing.T, err error) string {
	t.Helper()
	var wire *connect.Error
	if !errors.As(err, &wire) {
		return ""
	}
	for _, detail := range wire.Details() {
		value, err := detail.Value()
		if err != nil {
			t.Fatal(err)
		}
		if info, ok := value.(*errdetails.ErrorInfo); ok && info.GetDomain() == "ticketbridge" {
			return info.GetReason()
		}
	}
	return ""
}

func TestErrorMapper_reasonsOfTokens(t *testing.T) {
	t.Parallel()
	s, other := mustServe(t, mustOpenStore(t)), mustServe(t, mustOpenStore(t))
	token := func(s *server) string {
		watching := mustWatch(t, newClient(t, s, "gRPC"), "", nil)
		watching.readSnapshot(t)
		return watching.token
	}
	stream := mustWatch(t, newClient(t, s, "gRPC"), token(other), nil)
	if stream.Receive() || reasonOf(t, stream.Err()) != "TOKEN_OF_ANOTHER_DATABASE" {
		t.Errorf("a token of another database: %v", stream.Err())
	}
	if stream := mustWatch(t, newClient(t, s, "gRPC"), token(s), nil); !stream.Receive() {
		t.Errorf("a token of its own: %v", stream.Err())
	}
	_, err := newClient(t, s, "Connect").GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "none"})
	if reasonOf(t, err) != "TICKET_NOT_FOUND" {
		t.Errorf("no such ticket: %v", err)
	}
}

func TestErrorMapper_oneEventOfACommit(t *testing.T) {
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

func TestInvalidArgument_details(t *testing.T) {
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

func TestRecoverPanic(t *testing.T) {
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

func TestErrorMapper_doesNotQuoteTheSearchText(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, stubStore{}), "gRPC")
	_, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{Filter: &ticketv1.TicketFilter{Text: strings.Repeat(personal+" ", 256)}})
	if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "filter.text must have at most 256 bytes") ||
		strings.Contains(err.Error(), personal) {
		t.Errorf("a filter's text: %v", err)
	}
}

func TestInvalidRequest_isNotQuoted(t *testing.T) {
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
				response, err := server.Client().Post(server.URL+"/allthings.ticket.v1.TicketEventService/TicketUpdated", contentType,
					strings.NewReader(request))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				var answer bytes.Buffer
				if _, err := answer.ReadFrom(response.Body); err != nil {
					t.Fatal(err)
				}
				if response.StatusCode != http.StatusBadRequest || strings.Contains(answer.String(), "Max") ||
					!strings.Contains(answer.String(), "invalid_argument") {
					t.Errorf("%d %s, want 400 invalid_argument without what was sent", response.StatusCode, &answer)
				}
			})
		}
	}
}
