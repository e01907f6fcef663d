package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgresql.Main(m)) }

// personal stands for personal data. It is in tickets, and must be in no log and no error.
const personal = "Heizung im Bad kalt"

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// server is a service on a real socket.
type server struct {
	url string
	log *logBuffer
	// notReady is the error that the service reports as its readiness.
	notReady error
	// stop ends the server as SIGTERM does. The end of the test calls it too.
	stop func() error
}

// mustServe serves store without access control until the end of the test.
func mustServe(t testing.TB, store ticket.Store) *server {
	t.Helper()
	return mustServeSecurely(t, store, rpc.Security{})
}

func mustServeSecurely(t testing.TB, store ticket.Store, security rpc.Security) *server {
	t.Helper()
	s := &server{log: &logBuffer{}}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	service := rpc.New(store, func(context.Context) error { return s.notReady }, log)
	s.listen(t, service, security, log)
	return s
}

// listen serves a service until the end of the test.
func (s *server) listen(t testing.TB, service *rpc.Service, security rpc.Security, log *slog.Logger) {
	t.Helper()
	listening, err := httpserver.Listen(t.Context(), "127.0.0.1:0", service.NewServer(security, log))
	if err != nil {
		t.Fatal(err)
	}
	s.stop = sync.OnceValue(func() error { return listening.Stop(context.Background()) })
	s.url = "http://" + listening.Addr()
	if security.TLS != nil {
		s.url = "https://" + listening.Addr()
	}
	listening.Start(func(err error) { t.Error(err) })
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if err := service.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func mustOpenStore(t testing.TB) ticket.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tickets.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// protocols are the ways to call the service.
var protocols = map[string][]connect.ClientOption{
	"Connect":      nil,
	"Connect JSON": {connect.WithProtoJSON()},
	"Connect GET":  {connect.WithHTTPGet()},
	"gRPC":         {connect.WithGRPC()},
	"gRPC-Web":     {connect.WithGRPCWeb()},
}

// client calls a service with one protocol.
type client struct {
	ticketv1connect.TicketEventServiceClient
	ticketv1connect.TicketServiceClient
	http    *http.Client
	url     string
	options []connect.ClientOption
}

// newClient returns a client that uses HTTP/2 if the protocol needs it, and otherwise HTTP/1.1.
func newClient(t testing.TB, s *server, protocol string, options ...connect.ClientOption) client {
	t.Helper()
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(protocol == "gRPC")
	transport.Protocols.SetHTTP1(protocol != "gRPC")
	t.Cleanup(transport.CloseIdleConnections)
	httpClient := &http.Client{Transport: transport}
	options = append(slices.Clone(protocols[protocol]), options...)
	return client{
		TicketEventServiceClient: ticketv1connect.NewTicketEventServiceClient(httpClient, s.url, options...),
		TicketServiceClient:      ticketv1connect.NewTicketServiceClient(httpClient, s.url, options...),
		http:                     httpClient,
		url:                      s.url,
		options:                  options,
	}
}

func at(seconds int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: 1_780_000_000 + seconds}
}

func created(eventID, ticketID string, seconds int64) *ticketv1.TicketCreatedRequest {
	return &ticketv1.TicketCreatedRequest{
		Event: &ticketv1.EventMetadata{EventId: eventID, OccurTime: at(seconds), ReceiveTime: at(100)},
		Ticket: &ticketv1.Ticket{TicketId: ticketID, Title: personal, StatusText: "waiting-for-agent", AppId: "app", CreateTime: at(seconds),
			UpdateTime: at(seconds), LabelIds: []string{"a", "b"}, Attributes: map[string]string{"sortHash": `"zz"`},
			CustomSettings: []*ticketv1.CustomSetting{{Key: "room", SettingValue: &ticketv1.CustomSetting_Value{Value: ""}}}},
		FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"title", "status_text", "app_id", "create_time", "update_time", "label_ids",
			"attributes", "custom_settings"}},
	}
}

func TestService_everyProtocolServesEveryCall(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := mustServe(t, mustOpenStore(t))
			c := newClient(t, s, protocol)
			ctx := t.Context()

			updated := &ticketv1.TicketUpdatedRequest{Event: &ticketv1.EventMetadata{EventId: "e2", OccurTime: at(2)},
				Ticket:    &ticketv1.Ticket{TicketId: "t1", StatusText: "closed"},
				FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"status_text", "label_ids"}}}
			for _, duplicate := range []bool{false, true} {
				update, err := c.TicketUpdated(ctx, updated)
				if err != nil || update.GetDuplicate() != duplicate {
					t.Fatalf("TicketUpdated = %v, %v; want duplicate %v", update, err, duplicate)
				}
				create, err := c.TicketCreated(ctx, created("e1", "t1", 1))
				if err != nil || create.GetDuplicate() != duplicate {
					t.Fatalf("TicketCreated = %v, %v; want duplicate %v", create, err, duplicate)
				}
			}

			want := proto.CloneOf(created("e1", "t1", 1).GetTicket())
			want.StatusText, want.Status, want.LabelIds = "closed", ticketv1.TicketStatus_TICKET_STATUS_CLOSED, nil
			want.Revision, want.Complete, want.UpdateTime = 2, true, at(2)
			got, err := c.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: "t1"})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, want, got.GetTicket())

			for i := 2; i <= 5; i++ {
				if _, err := c.TicketCreated(ctx, created(fmt.Sprintf("create%d", i), fmt.Sprintf("t%d", i), int64(i))); err != nil {
					t.Fatal(err)
				}
			}
			batch, err := c.BatchGetTickets(ctx, &ticketv1.BatchGetTicketsRequest{TicketIds: []string{"t3", "nowhere", "t1", "t3", "neither"}})
			if err != nil || len(batch.GetTickets()) != 2 || batch.GetTickets()[0].GetTicketId() != "t3" ||
				!slices.Equal(batch.GetMissingTicketIds(), []string{"nowhere", "neither"}) {
				t.Errorf("BatchGetTickets = %v, %v", batch, err)
			}

			stats, err := c.GetTicketStats(ctx, &ticketv1.GetTicketStatsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, &ticketv1.GetTicketStatsResponse{TotalCount: 5, UnassignedCount: 4,
				StatusCounts: []*ticketv1.TicketStatusCount{{Status: ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT, Count: 4},
					{Status: ticketv1.TicketStatus_TICKET_STATUS_CLOSED, Count: 1}},
				LongestWaiting: &ticketv1.LongestWaiting{TicketId: "t2", WaitingSinceTime: at(2)}}, stats)
			stats, err = c.GetTicketStats(ctx, &ticketv1.GetTicketStatsRequest{Filter: &ticketv1.TicketFilter{UpdatedBefore: at(2)}})
			if err != nil {
				t.Fatal(err)
			}
			expect(t, &ticketv1.GetTicketStatsResponse{}, stats)
			_, err = c.GetTicketStats(ctx, &ticketv1.GetTicketStatsRequest{Filter: &ticketv1.TicketFilter{Statuses: []ticketv1.TicketStatus{9}}})
			if connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("a status that is not known: %v, want INVALID_ARGUMENT", err)
			}

			if got, want := listAllTickets(t, c, &ticketv1.ListTicketsRequest{PageSize: 2}),
				[]string{"t5", "t4", "t3", "t1", "t2"}; !slices.Equal(got, want) {
				t.Errorf("tickets by default %q, want %q", got, want)
			}
			request := &ticketv1.ListTicketsRequest{PageSize: 1, OrderBy: "create_time", Filter: &ticketv1.TicketFilter{
				Statuses: []ticketv1.TicketStatus{ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT}, UpdatedAfter: at(3), UpdatedBefore: at(5)}}
			if got, want := listAllTickets(t, c, request), []string{"t3", "t4"}; !slices.Equal(got, want) {
				t.Errorf("tickets with a filter %q, want %q", got, want)
			}
			testEvents(t, c)
			testHealth(t, s, c)
			testReflection(t, c)
		})
	}
}

// TestTicketUpdated_elementChange has a list whose value is not known, except what was added, until a later event has all of it.
func TestTicketUpdated_elementChange(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, mustOpenStore(t)), "Connect")
	ctx := t.Context()
	if _, err := c.TicketCreated(ctx, created("e1", "t1", 1)); err != nil {
		t.Fatal(err)
	}
	mask := func(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }
	change := &ticketv1.TicketUpdatedRequest{Event: &ticketv1.EventMetadata{EventId: "e2", OccurTime: at(2)},
		Ticket:    &ticketv1.Ticket{TicketId: "t1", Attributes: map[string]string{"labels": `{"added":["c"]}`}},
		FieldMask: mask("label_ids", "attributes"), ElementChangeMask: mask("tags")}
	if _, err := c.TicketUpdated(ctx, change); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("an element change of a field that is not named: %v, want INVALID_ARGUMENT", err)
	}
	change.ElementChangeMask = mask("label_ids")
	full := &ticketv1.TicketUpdatedRequest{Event: &ticketv1.EventMetadata{EventId: "e3", OccurTime: at(3)},
		Ticket: &ticketv1.Ticket{TicketId: "t1", LabelIds: []string{"a", "b", "c"}}, FieldMask: mask("label_ids")}
	want := proto.CloneOf(created("e1", "t1", 1).GetTicket())
	want.Status, want.Revision, want.Complete, want.UpdateTime = ticketv1.TicketStatus_TICKET_STATUS_WAITING_FOR_AGENT, 2, false, at(2)
	want.LabelIds, want.Attributes["labels"] = nil, `{"added":["c"]}`
	for _, update := range []*ticketv1.TicketUpdatedRequest{change, full} {
		if _, err := c.TicketUpdated(ctx, update); err != nil {
			t.Fatal(err)
		}
		got, err := c.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: "t1"})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, want, got.GetTicket())
		want.Revision, want.Complete, want.UpdateTime, want.LabelIds = 3, true, at(3), full.GetTicket().GetLabelIds()
		delete(want.Attributes, "labels")
	}
}

func expect(t *testing.T, want, got proto.Message) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func listAllTickets(t *testing.T, c client, request *ticketv1.ListTicketsRequest) []string {
	t.Helper()
	var ids []string
	for {
		page, err := c.ListTickets(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.GetTickets() {
			ids = append(ids, one.GetTicketId())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return ids
		}
	}
}

// testEvents lists the events of the ticket t1. Its later event was recorded first.
func testEvents(t *testing.T, c client) {
	t.Helper()
	want := []*ticketv1.TicketEvent{
		{EventId: "e2", EventName: "ticket.updated", TicketId: "t1", OccurTime: at(2), Sequence: 1,
			ChangedFields: &fieldmaskpb.FieldMask{Paths: []string{"status_text", "label_ids"}},
			Outcome:       ticketv1.TicketEventOutcome_TICKET_EVENT_OUTCOME_CURRENT},
		{EventId: "e1", EventName: "ticket.created", TicketId: "t1", OccurTime: at(1), ReceiveTime: at(100), Sequence: 2,
			ChangedFields: &fieldmaskpb.FieldMask{Paths: []string{"app_id", "title", "status_text", "label_ids", "custom_settings", "create_time",
				"update_time", "attributes"}},
			Outcome: ticketv1.TicketEventOutcome_TICKET_EVENT_OUTCOME_PARTLY_SUPERSEDED},
	}
	request := &ticketv1.ListTicketEventsRequest{TicketId: "t1", PageSize: 1}
	for i := range want {
		page, err := c.ListTicketEvents(t.Context(), request)
		if err != nil || len(page.GetEvents()) != 1 {
			t.Fatalf("ListTicketEvents = %v, %v", page, err)
		}
		expect(t, want[i], page.GetEvents()[0])
		request.PageToken = page.GetNextPageToken()
	}
	if request.GetPageToken() != "" {
		t.Error("the last page says that others follow")
	}
}

// testHealth calls gRPC's health service, and reads the messages as bytes: field 1 is the status.
func testHealth(t *testing.T, s *server, c client) {
	t.Helper()
	check := connect.NewClient[ticketv1.GetTicketRequest, ticketv1.GetTicketRequest](c.http, c.url+"/grpc.health.v1.Health/Check",
		append(slices.Clone(c.options), connect.WithCodec(rawCodec{}))...)
	for service, wantCode := range map[string]connect.Code{"": 0, ticketv1connect.TicketServiceName: 0,
		ticketv1connect.TicketEventServiceName: 0, "other": connect.CodeNotFound} {
		readOnly := "\x08\x01"
		if service == ticketv1connect.TicketEventServiceName {
			readOnly = "\x08\x02"
		}
		for notReady, want := range map[error]string{nil: "\x08\x01", context.Canceled: "\x08\x02", httpserver.ErrReadOnly: readOnly} {
			s.notReady = notReady
			got, err := check.CallUnary(t.Context(), connect.NewRequest(&ticketv1.GetTicketRequest{TicketId: service}))
			switch {
			case wantCode != 0:
				if connect.CodeOf(err) != wantCode {
					t.Errorf("health of %q: %v, want %v", service, err, wantCode)
				}
			case err != nil:
				t.Errorf("health of %q: %v", service, err)
			case got.Msg.GetTicketId() != want:
				t.Errorf("health of %q while readiness is %v: %q, want %q", service, notReady, got.Msg.GetTicketId(), want)
			}
		}
	}
	s.notReady = nil
}

// rawCodec sends the id of a GetTicketRequest, which has the same bytes as a HealthCheckRequest, and decodes the response into a
// GetTicketRequest too.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(message any) ([]byte, error) { return proto.Marshal(message.(proto.Message)) }

func (rawCodec) Unmarshal(data []byte, message any) error {
	message.(*ticketv1.GetTicketRequest).TicketId = string(data)
	return nil
}

func testReflection(t *testing.T, c client) {
	t.Helper()
	if len(c.options) == 0 || c.http.Transport.(*http.Transport).Protocols.HTTP1() {
		return // Reflection is a stream in both directions, which HTTP/1.1 does not support.
	}
	stream := grpcreflect.NewClient(c.http, c.url, c.options...).NewStream(t.Context())
	defer func() { _, _ = stream.Close() }()
	names, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{ticketv1connect.TicketEventServiceName, ticketv1connect.TicketServiceName, "grpc.health.v1.Health"} {
		if !slices.Contains(stringsOf(names), want) {
			t.Errorf("reflection lists %q, want %s too", names, want)
		}
	}
	if _, err := stream.FileContainingSymbol("allthings.ticket.v1.Ticket"); err != nil {
		t.Error(err)
	}
}

func stringsOf[S ~string](values []S) []string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return texts
}
