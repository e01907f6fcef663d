package rpc_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// TestService_invalidRequests makes calls that can't succeed, to a service with a real store. It expects a code for each call, and the
// wrong field if the request is invalid.
func TestService_invalidRequests(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	setUp := newClient(t, s, "gRPC")
	for i := range 3 {
		if _, err := setUp.TicketCreated(t.Context(), created(fmt.Sprintf("e%d", i), fmt.Sprintf("t%d", i), int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	first, err := setUp.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 257)
	list := func(request *ticketv1.ListTicketsRequest) func(context.Context, client) error {
		return func(ctx context.Context, c client) error { _, err := c.ListTickets(ctx, request); return err }
	}
	get := func(id string) func(context.Context, client) error {
		return func(ctx context.Context, c client) error {
			_, err := c.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: id})
			return err
		}
	}
	for name, test := range map[string]struct {
		call  func(context.Context, client) error
		want  connect.Code
		field string
	}{
		"an unknown ticket":      {get("nowhere"), connect.CodeNotFound, ""},
		"no id":                  {get(""), connect.CodeInvalidArgument, "ticket_id"},
		"an id that is too long": {get(long), connect.CodeInvalidArgument, "ticket_id"},
		"a negative page size":   {list(&ticketv1.ListTicketsRequest{PageSize: -1}), connect.CodeInvalidArgument, "page_size"},
		"a huge page size":       {list(&ticketv1.ListTicketsRequest{PageSize: 1e9}), 0, ""},
		"an order of no kind":    {list(&ticketv1.ListTicketsRequest{OrderBy: "title"}), connect.CodeInvalidArgument, "order_by"},
		"a token of nobody's":    {list(&ticketv1.ListTicketsRequest{PageToken: "AAAA"}), connect.CodeInvalidArgument, "page_token"},
		"a token of another filter": {list(&ticketv1.ListTicketsRequest{PageToken: first.GetNextPageToken(),
			Filter: &ticketv1.TicketFilter{AppIds: []string{"app"}}}), connect.CodeInvalidArgument, "page_token"},
		"a filter that contradicts itself": {
			list(&ticketv1.ListTicketsRequest{Filter: &ticketv1.TicketFilter{AssigneeId: "u", Unassigned: true}}),
			connect.CodeInvalidArgument, "filter.assignee_id"},
		"too many ids": {func(ctx context.Context, c client) error {
			ids := make([]string, 1001)
			for i := range ids {
				ids[i] = fmt.Sprint(i)
			}
			_, err := c.BatchGetTickets(ctx, &ticketv1.BatchGetTicketsRequest{TicketIds: ids})
			return err
		}, connect.CodeInvalidArgument, "ticket_ids"},
		"events of an unknown ticket": {func(ctx context.Context, c client) error {
			_, err := c.ListTicketEvents(ctx, &ticketv1.ListTicketEventsRequest{TicketId: "nowhere"})
			return err
		}, connect.CodeNotFound, ""},
		"an event without anything": {func(ctx context.Context, c client) error {
			_, err := c.TicketUpdated(ctx, &ticketv1.TicketUpdatedRequest{})
			return err
		}, connect.CodeInvalidArgument, "event.event_id"},
		"erasing no ticket": {func(ctx context.Context, c client) error {
			_, err := c.EraseTicket(ctx, &ticketv1.EraseTicketRequest{})
			return err
		}, connect.CodeInvalidArgument, "ticket_id"},
		"a deadline that has passed": {func(ctx context.Context, c client) error {
			ctx, cancel := context.WithDeadline(ctx, time.Unix(0, 0))
			defer cancel()
			return get("t0")(ctx, c)
		}, connect.CodeDeadlineExceeded, ""},
	} {
		for protocol := range protocols {
			t.Run(name+" by "+protocol, func(t *testing.T) {
				t.Parallel()
				err := test.call(t.Context(), newClient(t, s, protocol))
				if test.want == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if connect.CodeOf(err) != test.want {
					t.Errorf("%v, want %v", err, test.want)
				}
				if got := violatedField(t, err); got != test.field {
					t.Errorf("%v names the field %q, want %q", err, got, test.field)
				}
			})
		}
	}
}

// violatedField returns the first wrong field in an error's details, if any.
func violatedField(t *testing.T, err error) string {
	t.Helper()
	var wire *connect.Error
	if !errors.As(err, &wire) {
		t.Fatalf("%v is not an error of the wire", err)
	}
	for _, detail := range wire.Details() {
		value, err := detail.Value()
		if err != nil {
			t.Fatal(err)
		}
		if bad, ok := value.(*errdetails.BadRequest); ok {
			return bad.GetFieldViolations()[0].GetField()
		}
	}
	return ""
}

// TestService_stopping makes a call after all taken events are recorded, and before the server has stopped.
func TestService_stopping(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	service := rpc.New(stubStore{}, func(context.Context) error { return nil }, log)
	listening, err := httpserver.Listen(t.Context(), "127.0.0.1:0", service.NewServer(rpc.Security{}, log))
	if err != nil {
		t.Fatal(err)
	}
	listening.Start(func(err error) { t.Error(err) })
	s := &server{url: "http://" + listening.Addr()}
	if err := service.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for protocol := range protocols {
		_, err := newClient(t, s, protocol).TicketCreated(t.Context(), created("e", "t", 1))
		if connect.CodeOf(err) != connect.CodeUnavailable || retryDelay(t, err) == 0 {
			t.Errorf("while it drains, by %s: %v, want UNAVAILABLE and a retry delay", protocol, err)
		}
	}
	if err := listening.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for protocol := range protocols {
		if _, err := newClient(t, s, protocol).TicketCreated(t.Context(), created("e", "t", 1)); connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("once it is gone, by %s: %v, want UNAVAILABLE", protocol, err)
		}
	}
}

// TestService_compressesLargeResponses checks the bytes on the wire, because connect-go's client returns decompressed responses.
func TestService_compressesLargeResponses(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	c := newClient(t, s, "Connect")
	small, large := created("small", "small", 1), created("large", "large", 1)
	large.Ticket.Title = strings.Repeat("x", 100_000)
	for _, request := range []*ticketv1.TicketCreatedRequest{small, large} {
		if _, err := c.TicketCreated(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ ticket, accept, want string }{{"large", "gzip", "gzip"}, {"large", "identity", ""}, {"large", "br", ""},
		{"small", "gzip", ""}} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+ticketv1connect.TicketServiceGetTicketProcedure,
			strings.NewReader(fmt.Sprintf(`{"ticketId": %q}`, test.ticket)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Accept-Encoding", test.accept)
		response, err := c.http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("Content-Encoding"); got != test.want {
			t.Errorf("%s for one who reads %s: Content-Encoding %q, want %q", test.ticket, test.accept, got, test.want)
		}
		if test.want == "gzip" {
			gzipReader, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			decompressed, err := io.ReadAll(gzipReader)
			if err != nil || len(body) > len(decompressed)/10 {
				t.Errorf("%d bytes on the wire for %d, %v", len(body), len(decompressed), err)
			}
			body = decompressed
		}
		if !strings.Contains(string(body), `"ticketId":"`+test.ticket) {
			t.Errorf("%s for one who reads %s: %.200q", test.ticket, test.accept, body)
		}
	}
}
