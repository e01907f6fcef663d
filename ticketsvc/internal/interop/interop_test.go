// Package interop_test calls ticketsvc with the clients that others have: connect-go, Connect-ES (Node.js), grpcio (Python), grpcurl and
// buf curl, by each protocol that they speak. What each is told must be the same.
package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const adminToken = "hush-of-the-operators"

// Tickets whose reading does something else than to succeed.
const (
	// hangs is one whose reading takes as long as it may.
	hangs = "hangs"
	// unavailable is one that can't be read because the database is away.
	unavailable = "unavailable"
)

// store is a real one but for some tickets.
type store struct {
	ticket.Store
	// hanging is how many readings began that hang, and abandoned gets a value each time that one of them has ended.
	hanging   atomic.Int32
	abandoned chan struct{}
}

func (s *store) Get(ctx context.Context, id string, budget ticket.MemoryBudget) (ticket.Ticket, error) {
	switch id {
	case hangs:
		s.hanging.Add(1)
		<-ctx.Done()
		s.abandoned <- struct{}{}
		return ticket.Ticket{}, ctx.Err()
	case unavailable:
		return ticket.Ticket{}, ticket.ErrUnavailable
	default:
		return s.Store.Get(ctx, id, budget)
	}
}

// server is ticketsvc's own server, on a real socket.
type server struct {
	url   string
	store *store
}

func mustServe(t *testing.T) *server {
	t.Helper()
	opened, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "tickets.db"))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{store: &store{Store: opened, abandoned: make(chan struct{}, 100)}}
	tokens, err := credentials.Parse([]string{"admin=" + adminToken})
	if err != nil {
		t.Fatal(err)
	}
	current := &credentials.Current{}
	current.Set(tokens)
	log := slog.New(slog.DiscardHandler)
	service := rpc.New(s.store, func(context.Context) error { return nil }, log)
	listening, err := httpserver.Listen(t.Context(), "127.0.0.1:0", service.NewServer(rpc.Security{Tokens: current}, log))
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + listening.Addr()
	listening.Start(func(err error) { t.Error(err) })
	t.Cleanup(func() {
		if err := errors.Join(listening.Stop(context.Background()), service.Close(context.Background()), opened.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func at(seconds int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: 1_780_000_000 + seconds, Nanos: 123_456_789}
}

func created(id, description string) *ticketv1.TicketCreatedRequest {
	return &ticketv1.TicketCreatedRequest{
		Event: &ticketv1.EventMetadata{EventId: "event of " + id, OccurTime: at(1)},
		Ticket: &ticketv1.Ticket{TicketId: id, Title: "Tür \u0000 <klemmt> \U0001F6AA", Description: description, StatusText: "closed",
			CommentCount: 3, LabelIds: []string{"a", "b"}, Attributes: map[string]string{"large": "9007199254740993"},
			CustomSettings: []*ticketv1.CustomSetting{{Key: "room", SettingValue: &ticketv1.CustomSetting_Value{Value: ""}}}},
		FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"title", "description", "status_text", "comment_count", "label_ids", "attributes",
			"custom_settings"}},
	}
}

const (
	// largeBytes is the size of a description that is larger than limitBytes, which some calls take.
	largeBytes, limitBytes = 300_000, 100_000
	// tooLargeBytes is more than the service takes.
	tooLargeBytes = 16<<20 + 1
	// patient is the deadline of a call that does not wait for it: long, for a busy machine. impatient is that of a call that does, at first:
	// the deadline is doubled until the call reaches the store. hasty is that of a call that need not reach the store.
	patient, impatient, hasty = time.Minute, 1500 * time.Millisecond, 300 * time.Millisecond
)

// calls are what every client does, and what must come of it.
var calls = map[string]struct {
	method      string
	request     proto.Message
	deadline    time.Duration
	token       string
	gzip, limit bool
	enough      int

	want connect.Code
	says string
	// reason is that of the google.rpc.ErrorInfo, and wantDetail the other detail.
	reason     string
	wantDetail proto.Message
	// check looks at the answers.
	check func(t *testing.T, s *server, answers []json.RawMessage)
}{
	"unary": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: "b"}, check: expectTicket},
	"unary, with a compressed request": {method: "ListTickets", gzip: true,
		request: &ticketv1.ListTicketsRequest{OrderBy: "create_time",
			Filter: &ticketv1.TicketFilter{CategoryIds: slices.Repeat([]string{strings.Repeat("x", 200)}, 100)}}},
	"not found": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: "nowhere"}, want: connect.CodeNotFound,
		says: "no event of the ticket", reason: "TICKET_NOT_FOUND"},
	"an error with field violations": {method: "ListTickets", request: &ticketv1.ListTicketsRequest{PageSize: -1},
		want: connect.CodeInvalidArgument, says: "page_size must not be negative",
		wantDetail: &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "page_size", Description: "must not be negative"}}}},
	"an error that passes": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: unavailable}, want: connect.CodeUnavailable,
		says: "retry later", reason: "DATABASE_UNAVAILABLE",
		wantDetail: &errdetails.RetryInfo{RetryDelay: durationpb.New(5 * time.Second)}},
	"no token that counts": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: "b"}, token: "hush-that-never-counted",
		want: connect.CodeUnauthenticated, says: "a valid bearer token is needed"},
	"a deadline": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: hangs}, deadline: impatient,
		want: connect.CodeDeadlineExceeded,
		// The store ends its reading too.
		check: func(_ *testing.T, s *server, _ []json.RawMessage) { <-s.store.abandoned }},
	"a request that is too large": {method: "ListTickets",
		request: &ticketv1.ListTicketsRequest{PageToken: strings.Repeat("x", tooLargeBytes)}, want: connect.CodeResourceExhausted,
		reason: "REQUEST_TOO_LARGE"},
	"a request that is too large, compressed": {method: "ListTickets",
		request: &ticketv1.ListTicketsRequest{PageToken: strings.Repeat("x", tooLargeBytes)}, gzip: true,
		want: connect.CodeResourceExhausted, reason: "REQUEST_TOO_LARGE"},
	"an answer that is too large": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: "large"}, limit: true,
		want: connect.CodeResourceExhausted},
	"a large answer": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: "large"}},
	// The walk in byte order of the ids, and the heartbeat behind it.
	"a stream": {method: "WatchTickets", request: &ticketv1.WatchTicketsRequest{}, enough: 4,
		check: func(t *testing.T, _ *server, answers []json.RawMessage) {
			var said []string
			for _, answer := range answers {
				message := &ticketv1.WatchTicketsResponse{}
				if err := protojson.Unmarshal(answer, message); err != nil {
					t.Fatal(err)
				}
				if message.GetResumeToken() == "" {
					t.Error("a message has no token")
				}
				if message.GetHeartbeat() != nil {
					said = append(said, "heartbeat")
				} else {
					said = append(said, message.GetChange().GetTicket().GetTicketId())
				}
			}
			if want := []string{"a", "b", "large", "heartbeat"}; !slices.Equal(said, want) {
				t.Errorf("the stream says %q, want %q", said, want)
			}
		}},
	"a stream with a deadline": {method: "WatchTickets", request: &ticketv1.WatchTicketsRequest{}, deadline: hasty,
		want: connect.CodeDeadlineExceeded},
	"a stream that is refused": {method: "WatchTickets", request: &ticketv1.WatchTicketsRequest{ResumeToken: "AAAA"},
		want: connect.CodeInvalidArgument, says: "resume_token",
		wantDetail: &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "resume_token", Description: "must be the resume_token of a message of the same filter"}}}},
	"a stream with a message that is too large": {method: "WatchTickets", request: &ticketv1.WatchTicketsRequest{}, limit: true,
		want: connect.CodeResourceExhausted},
}

func expectTicket(t *testing.T, _ *server, answers []json.RawMessage) {
	t.Helper()
	if len(answers) != 1 {
		t.Fatalf("%d answers", len(answers))
	}
	got := &ticketv1.GetTicketResponse{}
	if err := protojson.Unmarshal(answers[0], got); err != nil {
		t.Fatal(err)
	}
	want := created("b", "short").GetTicket()
	want.Status, want.Revision, want.Complete, want.UpdateTime = ticketv1.TicketStatus_TICKET_STATUS_CLOSED, 1, true, at(1)
	if diff := cmp.Diff(want, got.GetTicket(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestEveryClientIsToldTheSame(t *testing.T) {
	t.Parallel()
	for name, ready := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := ready(t)
			s := mustServe(t)
			s.fill(t)
			for call, test := range calls {
				if test.gzip && !c.gzip || test.limit && !c.limit {
					continue
				}
				t.Run(call, func(t *testing.T) {
					t.Parallel()
					request, err := protojson.Marshal(test.request)
					if err != nil {
						t.Fatal(err)
					}
					j := job{URL: s.url, Protocol: c.protocol, Method: test.method, Request: request, Token: adminToken,
						TimeoutMs: int(patient.Milliseconds()), Gzip: test.gzip, Enough: test.enough}
					if test.deadline > 0 {
						j.TimeoutMs = int(test.deadline.Milliseconds())
					}
					if test.token != "" {
						j.Token = test.token
					}
					if test.limit {
						j.MaxBytes = limitBytes
					}
					o := c.call(t, j)
					for test.deadline == impatient && s.store.hanging.Load() == 0 {
						if j.TimeoutMs *= 2; j.TimeoutMs >= int(patient.Milliseconds()) {
							t.Fatal("the call does not reach the store")
						}
						o = c.call(t, j)
					}
					if connect.Code(o.Code) != test.want || !strings.Contains(o.Message, test.says) {
						t.Errorf("%v: %q, want %v: %q", connect.Code(o.Code), o.Message, test.want, test.says)
					}
					var want []proto.Message
					if test.reason != "" {
						want = append(want, &errdetails.ErrorInfo{Reason: test.reason, Domain: "ticketbridge"})
					}
					if test.wantDetail != nil {
						want = append(want, test.wantDetail)
					}
					if diff := cmp.Diff(want, o.details(t), protocmp.Transform()); diff != "" {
						t.Error(diff)
					}
					if test.check != nil {
						test.check(t, s, o.Answers)
					}
				})
			}
		})
	}
}

// fill records the tickets that there are.
func (s *server) fill(t *testing.T) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	events := ticketv1connect.NewTicketEventServiceClient(&http.Client{Transport: transport}, s.url)
	for id, description := range map[string]string{"a": "", "b": "short", "large": strings.Repeat("x", largeBytes)} {
		ctx, call := connect.NewClientContext(t.Context())
		call.RequestHeader().Set("Authorization", "Bearer "+adminToken)
		if _, err := events.TicketCreated(ctx, created(id, description)); err != nil {
			t.Fatal(err)
		}
	}
}
