// Package interop_test calls ticketsvc with the clients that others have: connect-go, Connect-ES (Node.js), grpcio (Python), grpcurl and
// buf curl, by each protocol that they speak. What each is told must be the same.
package interop_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/clienttest"
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
	// abandoned gets a value each time that a reading which hangs has ended.
	abandoned chan error
}

func (s *store) Get(ctx context.Context, id string) (ticket.Ticket, error) {
	switch id {
	case hangs:
		<-ctx.Done()
		s.abandoned <- ctx.Err()
		return ticket.Ticket{}, ctx.Err()
	case unavailable:
		return ticket.Ticket{}, ticket.ErrUnavailable
	default:
		return s.Store.Get(ctx, id)
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
	s := &server{store: &store{Store: opened, abandoned: make(chan error, 100)}}
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

// job is a call. It is what the programs in other languages read, as JSON.
type job struct {
	URL string `json:"url"`
	// Method is one of TicketService.
	Method  string          `json:"method"`
	Request json.RawMessage `json:"request"`
	Token   string          `json:"token"`
	// Protocol is "connect", "grpc" or "grpc-web".
	Protocol string `json:"protocol"`
	// TimeoutMs is how long the call may take, in milliseconds.
	TimeoutMs int `json:"timeoutMs"`
	// MaxBytes is the size of the largest answer that the client takes. 0 means the client's own limit.
	MaxBytes int `json:"maxBytes"`
	// Gzip says that the request is compressed.
	Gzip bool `json:"gzip"`
	// Enough is after how many messages the client ends a stream. 0 means never.
	Enough int `json:"enough"`
}

func (j *job) stream() bool { return j.Method == "WatchTickets" }

// path returns the procedure's path, without the slash before it.
func (j *job) path() string { return ticketv1connect.TicketServiceName + "/" + j.Method }

// outcome is what came of a call, as the client's library tells it.
type outcome struct {
	// Code is the number of a [connect.Code], 0 for OK.
	Code    uint32            `json:"code"`
	Message string            `json:"message"`
	Answers []json.RawMessage `json:"answers"`
	// Details are in one of these two.
	Details []detail `json:"details"`
	// Status is a google.rpc.Status, in Base64.
	Status string `json:"status"`
}

type detail struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// client makes calls.
type client struct {
	protocol string
	// gzip and limit say whether the client can compress requests, and limit answers.
	gzip, limit bool
	call        func(t *testing.T, j job) outcome
}

// clients are all of them, each by a function that makes it ready.
var clients = map[string]func(t *testing.T) client{
	"connect-go by Connect":  func(*testing.T) client { return client{"connect", true, true, callConnectGo} },
	"connect-go by gRPC":     func(*testing.T) client { return client{"grpc", true, true, callConnectGo} },
	"connect-go by gRPC-Web": func(*testing.T) client { return client{"grpc-web", true, true, callConnectGo} },
	"Connect-ES by Connect":  func(t *testing.T) client { return client{"connect", true, true, connectES(t)} },
	"Connect-ES by gRPC":     func(t *testing.T) client { return client{"grpc", true, true, connectES(t)} },
	"Connect-ES by gRPC-Web": func(t *testing.T) client { return client{"grpc-web", true, true, connectES(t)} },
	"grpcio":                 func(t *testing.T) client { return client{"grpc", true, true, grpcio(t)} },
	"grpcurl":                func(t *testing.T) client { return client{"grpc", false, true, grpcurl(t)} },
	"buf curl by Connect":    func(t *testing.T) client { return client{"connect", false, false, bufCurl(t)} },
	"buf curl by gRPC":       func(t *testing.T) client { return client{"grpc", false, false, bufCurl(t)} },
	"buf curl by gRPC-Web":   func(t *testing.T) client { return client{"grpc-web", false, false, bufCurl(t)} },
}

// callConnectGo makes a call with connect-go.
func callConnectGo(t *testing.T, j job) outcome {
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(j.Protocol == "grpc")
	transport.Protocols.SetHTTP1(j.Protocol != "grpc")
	defer transport.CloseIdleConnections()
	options := []connect.ClientOption{connect.WithReadMaxBytes(j.MaxBytes)}
	if j.Gzip {
		options = append(options, connect.WithSendGzip())
	}
	switch j.Protocol {
	case "grpc":
		options = append(options, connect.WithGRPC())
	case "grpc-web":
		options = append(options, connect.WithGRPCWeb())
	}
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(j.path(), "/", ".")))
	if err != nil {
		t.Fatal(err)
	}
	method := descriptor.(protoreflect.MethodDescriptor)
	options = append(options, connect.WithSchema(method), connect.WithResponseInitializer(func(_ connect.Spec, message any) error {
		*message.(*dynamicpb.Message) = *dynamicpb.NewMessage(method.Output())
		return nil
	}))
	request := connect.NewRequest(dynamicpb.NewMessage(method.Input()))
	if err := protojson.Unmarshal(j.Request, request.Msg); err != nil {
		t.Fatal(err)
	}
	request.Header().Set("Authorization", "Bearer "+j.Token)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(j.TimeoutMs)*time.Millisecond)
	defer cancel()
	caller := connect.NewClient[dynamicpb.Message, dynamicpb.Message](&http.Client{Transport: transport}, j.URL+"/"+j.path(), options...)
	var o outcome
	if !j.stream() {
		answer, err := caller.CallUnary(ctx, request)
		if err == nil {
			o.Answers = append(o.Answers, mustJSON(t, answer.Msg))
		}
		return o.failed(t, err)
	}
	stream, err := caller.CallServerStream(ctx, request)
	if err != nil {
		return o.failed(t, err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if o.Answers = append(o.Answers, mustJSON(t, stream.Msg())); len(o.Answers) == j.Enough {
			return o
		}
	}
	return o.failed(t, stream.Err())
}

// failed returns the outcome with an error of connect-go's, if there is one.
func (o outcome) failed(t *testing.T, err error) outcome {
	var failure *connect.Error
	switch {
	case err == nil:
		return o
	case !errors.As(err, &failure):
		t.Fatal(err)
	}
	o.Code, o.Message = uint32(failure.Code()), failure.Message()
	for _, d := range failure.Details() {
		o.Details = append(o.Details, detail{d.Type(), base64.StdEncoding.EncodeToString(d.Bytes())})
	}
	return o
}

func mustJSON(t *testing.T, message proto.Message) json.RawMessage {
	t.Helper()
	encoded, err := protojson.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// connectES returns what makes a call with Connect-ES.
func connectES(t *testing.T) func(*testing.T, job) outcome {
	node, folder := clienttest.Node(t)
	return func(t *testing.T, j job) outcome {
		return callProgram(t, j, exec.CommandContext(t.Context(), node, filepath.Join(folder, "dist", "test", "call.js")))
	}
}

// grpcio returns what makes a call with grpcio.
func grpcio(t *testing.T) func(*testing.T, job) outcome {
	python, folder := clienttest.Python(t)
	return func(t *testing.T, j job) outcome {
		command := exec.CommandContext(t.Context(), python, filepath.Join(folder, "test", "call.py"))
		command.Env = append(command.Environ(), "PYTHONPATH="+folder)
		return callProgram(t, j, command)
	}
}

// callProgram runs a program of clients/, which reads a job and prints its outcome.
func callProgram(t *testing.T, j job, command *exec.Cmd) outcome {
	t.Helper()
	input, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(input), &errs
	printed, err := command.Output()
	var o outcome
	if err := errors.Join(err, json.Unmarshal(printed, &o)); err != nil {
		t.Fatalf("%v: %.2000s", err, &errs)
	}
	return o
}

// grpcurl returns what makes a call with grpcurl, which learns the contract by reflection.
func grpcurl(t *testing.T) func(*testing.T, job) outcome {
	path := clienttest.Grpcurl(t)
	return func(t *testing.T, j job) outcome {
		args := []string{"-plaintext", "-format-error", "-max-time", fmt.Sprint(float64(j.TimeoutMs) / 1000), "-H",
			"Authorization: Bearer " + j.Token, "-d", "@"}
		if j.MaxBytes > 0 {
			args = append(args, "-max-msg-sz", fmt.Sprint(j.MaxBytes))
		}
		args = append(args, strings.TrimPrefix(j.URL, "http://"), j.path())
		answers, failure := runCurl(t, j, path, args)
		o := outcome{Answers: answers}
		if failure == "" {
			return o
		}
		// A google.rpc.Status as JSON, behind a word.
		status := &statuspb.Status{}
		_, printed, _ := strings.Cut(failure, "{")
		if err := protojson.Unmarshal([]byte("{"+printed), status); err != nil {
			t.Fatalf("%v in %q", err, failure)
		}
		encoded, err := proto.Marshal(status)
		if err != nil {
			t.Fatal(err)
		}
		o.Code, o.Message, o.Status = uint32(status.GetCode()), status.GetMessage(), base64.StdEncoding.EncodeToString(encoded)
		return o
	}
}

// bufCurl returns what makes a call with buf curl, which learns the contract by reflection.
func bufCurl(t *testing.T) func(*testing.T, job) outcome {
	path := clienttest.Buf(t)
	return func(t *testing.T, j job) outcome {
		args := []string{"curl", "--http2-prior-knowledge", "--protocol", strings.ReplaceAll(j.Protocol, "-", ""), "--reflect-header",
			"Authorization: Bearer " + adminToken, "--header", "Authorization: Bearer " + j.Token, "--timeout", fmt.Sprintf("%dms", j.TimeoutMs),
			"--data", "@-", j.URL + "/" + j.path()}
		answers, failure := runCurl(t, j, path, args)
		o := outcome{Answers: answers}
		if failure == "" {
			return o
		}
		// An error as the Connect protocol has it.
		var printed struct {
			Code    connect.Code
			Message string
			Details []detail
		}
		if err := json.Unmarshal([]byte(failure), &printed); err != nil {
			t.Fatalf("%v in %q", err, failure)
		}
		o.Code, o.Message = uint32(printed.Code), printed.Message
		for _, d := range printed.Details {
			// Connect's JSON has Base64 without padding.
			value, err := base64.RawStdEncoding.DecodeString(d.Value)
			if err != nil {
				t.Fatal(err)
			}
			o.Details = append(o.Details, detail{d.Type, base64.StdEncoding.EncodeToString(value)})
		}
		return o
	}
}

// runCurl runs a command that makes a call, and returns the answers that it prints, and what it prints of an error.
func runCurl(t *testing.T, j job, path string, args []string) (answers []json.RawMessage, failure string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	command := exec.CommandContext(ctx, path, args...)
	var errs bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(j.Request), &errs
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(stdout); ; {
		var answer json.RawMessage
		if err := decoder.Decode(&answer); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if answers = append(answers, answer); len(answers) == j.Enough {
			cancel()
			_ = command.Wait() // It was ended.
			return answers, ""
		}
	}
	if err := command.Wait(); err != nil {
		return answers, errs.String()
	}
	return answers, ""
}

// details returns the details of an error.
func (o *outcome) details(t *testing.T) []proto.Message {
	t.Helper()
	var details []*anypb.Any
	for _, d := range o.Details {
		value, err := base64.StdEncoding.DecodeString(d.Value)
		if err != nil {
			t.Fatal(err)
		}
		details = append(details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type, Value: value})
	}
	encoded, err := base64.StdEncoding.DecodeString(o.Status)
	if err != nil {
		t.Fatal(err)
	}
	status := &statuspb.Status{}
	if err := proto.Unmarshal(encoded, status); err != nil {
		t.Fatal(err)
	}
	var messages []proto.Message
	for _, d := range append(details, status.GetDetails()...) {
		message, err := d.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, message)
	}
	return messages
}

func at(seconds int64) *timestamppb.Timestamp {
	return &timestamppb.Timestamp{Seconds: 1_780_000_000 + seconds, Nanos: 123_456_789}
}

func created(id, description string) *ticketv1.TicketCreatedRequest {
	return &ticketv1.TicketCreatedRequest{
		Event: &ticketv1.EventMetadata{EventId: "event of " + id, OccurTime: at(1)},
		Ticket: &ticketv1.Ticket{TicketId: id, Title: "Tür \u0000 <klemmt> \U0001F6AA", Description: description, StatusText: "closed",
			CommentCount: 3, Labels: []string{"a", "b"}, Attributes: map[string]string{"large": "9007199254740993"},
			CustomSettings: []*ticketv1.CustomSetting{{Key: "room", Kind: &ticketv1.CustomSetting_Value{Value: ""}}}},
		FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"title", "description", "status_text", "comment_count", "labels", "attributes",
			"custom_settings"}},
	}
}

const (
	// largeBytes is the size of a description that is larger than limitBytes, which some calls take.
	largeBytes, limitBytes = 300_000, 100_000
	// tooLargeBytes is more than the service takes.
	tooLargeBytes = 16<<20 + 1
	// patient is the deadline of a call that does not wait for it: long, for a busy machine. impatient is that of one that does, long enough
	// for a program to start and for its call to reach the store; hasty that of one that need not get there.
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

	want       connect.Code
	says       string
	wantDetail proto.Message
	// check looks at the answers.
	check func(t *testing.T, s *server, answers []json.RawMessage)
}{
	"unary": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: "b"}, check: expectTicket},
	"unary, with a compressed request": {method: "ListTickets", gzip: true,
		request: &ticketv1.ListTicketsRequest{OrderBy: "create_time",
			Filter: &ticketv1.TicketFilter{CategoryIds: slices.Repeat([]string{strings.Repeat("x", 200)}, 100)}}},
	"not found": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: "nowhere"}, want: connect.CodeNotFound,
		says: "no event of the ticket"},
	"an error with field violations": {method: "ListTickets", request: &ticketv1.ListTicketsRequest{PageSize: -1},
		want: connect.CodeInvalidArgument, says: "page_size must not be negative",
		wantDetail: &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "page_size", Description: "must not be negative"}}}},
	"an error that passes": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: unavailable}, want: connect.CodeUnavailable,
		says: "call again later", wantDetail: &errdetails.RetryInfo{RetryDelay: durationpb.New(5 * time.Second)}},
	"no token that counts": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: "b"}, token: "hush-that-never-counted",
		want: connect.CodeUnauthenticated, says: "a valid bearer token is needed"},
	"a deadline": {method: "GetTicket", request: &ticketv1.GetTicketRequest{TicketId: hangs}, deadline: impatient,
		want: connect.CodeDeadlineExceeded, check: func(t *testing.T, s *server, _ []json.RawMessage) {
			select {
			case <-s.store.abandoned:
			case <-time.After(10 * time.Second):
				t.Error("the store still works, ten seconds after the deadline")
			}
		}},
	"a request that is too large": {method: "ListTickets",
		request: &ticketv1.ListTicketsRequest{PageToken: strings.Repeat("x", tooLargeBytes)}, want: connect.CodeResourceExhausted},
	"a request that is too large, compressed": {method: "ListTickets",
		request: &ticketv1.ListTicketsRequest{PageToken: strings.Repeat("x", tooLargeBytes)}, gzip: true, want: connect.CodeResourceExhausted},
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
					if connect.Code(o.Code) != test.want || !strings.Contains(o.Message, test.says) {
						t.Errorf("%v: %q, want %v: %q", connect.Code(o.Code), o.Message, test.want, test.says)
					}
					var want []proto.Message
					if test.wantDetail != nil {
						want = []proto.Message{test.wantDetail}
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
