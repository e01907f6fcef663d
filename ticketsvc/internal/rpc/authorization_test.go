package rpc_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/credentials"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/certificates"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

// tokens are the tokens of callers, by the kind of token. Each contains "hush", which must be in no log and no error.
var tokens = map[string]string{
	"no token": "", "a wrong token": "hush-that-never-counted", "ingest": "hush-of-the-gateway", "read": "hush-of-a-service",
	"admin": "hush-of-an-operator",
}

func mustCredentials(t *testing.T) *credentials.Current {
	t.Helper()
	var entries []string
	for _, scope := range []string{"ingest", "read", "admin"} {
		entries = append(entries, scope+"="+tokens[scope])
	}
	parsed, err := credentials.Parse(entries)
	if err != nil {
		t.Fatal(err)
	}
	current := &credentials.Current{}
	current.Set(parsed)
	return current
}

// shows is the token that a client sends.
type shows string

func (s shows) set(header http.Header) {
	if s != "" {
		header.Set("Authorization", "Bearer "+string(s))
	}
}

func (s shows) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		s.set(request.Header())
		return next(ctx, request)
	}
}

func (s shows) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		s.set(conn.RequestHeader())
		return conn
	}
}

func (s shows) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// procedure is a procedure of the contract, or of health and reflection.
type procedure struct {
	path         string
	stream, bidi bool
	sideEffects  bool
	// callers are the names of the scopes that may call it. Nil means everybody.
	callers []string
}

// procedures returns every procedure of the package allthings.ticket.v1, as generated, and those of health and reflection.
func procedures(t *testing.T) []procedure {
	t.Helper()
	all := []procedure{
		{path: "/grpc.health.v1.Health/Check", sideEffects: true},
		{path: "/grpc.health.v1.Health/Watch", stream: true, sideEffects: true},
		{path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", bidi: true, callers: []string{"ingest", "read", "admin"}},
		{path: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", bidi: true, callers: []string{"ingest", "read", "admin"}},
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("allthings.ticket.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for i := range service.Methods().Len() {
				method := service.Methods().Get(i)
				p := procedure{path: fmt.Sprintf("/%s/%s", service.FullName(), method.Name()), stream: method.IsStreamingServer(),
					callers: []string{"read", "admin"}}
				p.sideEffects = method.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() != descriptorpb.MethodOptions_NO_SIDE_EFFECTS
				switch {
				case service.Name() == "TicketEventService":
					p.callers = []string{"ingest", "admin"}
				case method.Name() == "EraseTicket":
					p.callers = []string{"admin"}
				}
				all = append(all, p)
			}
		}
		return true
	})
	return all
}

// call calls the procedure with an empty message.
func (p procedure) call(ctx context.Context, c client) error {
	options := c.options
	if !p.sideEffects {
		options = append(slices.Clone(options), connect.WithIdempotency(connect.IdempotencyNoSideEffects))
	}
	rpc := connect.NewClient[emptypb.Empty, emptypb.Empty](c.http, c.url+p.path, options...)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch {
	case p.bidi:
		stream := rpc.CallBidiStream(ctx)
		err := stream.Send(&emptypb.Empty{})
		err = errors.Join(err, stream.CloseRequest())
		if _, receiveErr := stream.Receive(); receiveErr != nil {
			err = receiveErr
		}
		return errors.Join(err, stream.CloseResponse())
	case p.stream:
		stream, err := rpc.CallServerStream(ctx, connect.NewRequest(&emptypb.Empty{}))
		if err != nil {
			return err
		}
		stream.Receive()
		return errors.Join(stream.Err(), stream.Close())
	default:
		_, err := rpc.CallUnary(ctx, connect.NewRequest(&emptypb.Empty{}))
		return err
	}
}

func TestAuthorize_everyProcedure(t *testing.T) {
	t.Parallel()
	all := procedures(t)
	if len(all) < 9+4 {
		t.Fatalf("only %d procedures were found", len(all))
	}
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t)})
	for protocol := range protocols {
		for caller, token := range tokens {
			c := newClient(t, s, protocol, connect.WithInterceptors(shows(token)))
			for _, p := range all {
				if p.bidi && protocol != "gRPC" {
					continue // HTTP/1.1 does not support streams in both directions.
				}
				err := p.call(t.Context(), c)
				got := connect.CodeOf(err)
				refused := err != nil && (got == connect.CodeUnauthenticated || got == connect.CodePermissionDenied)
				switch known := strings.HasPrefix(token, "hush-of"); {
				case p.callers == nil, slices.Contains(p.callers, caller):
					if refused {
						t.Errorf("%s of %s with %s: %v, want it to be let through", protocol, p.path, caller, err)
					}
				case known && got != connect.CodePermissionDenied, !known && got != connect.CodeUnauthenticated:
					t.Errorf("%s of %s with %s: %v, want it to be refused", protocol, p.path, caller, err)
				}
				if err != nil && strings.Contains(err.Error(), "hush") {
					t.Errorf("the error holds a token: %v", err)
				}
			}
		}
	}
	if log := s.log.String(); strings.Contains(log, "hush") || !strings.Contains(log, "scope=read") ||
		!strings.Contains(log, "code=unauthenticated") {
		t.Errorf("log, want one that says what was refused, without tokens:\n%.2000s", log)
	}
}

// TestCallerOf has calls with each token. A call without a token is identified by its address.
func TestCallerOf(t *testing.T) {
	t.Parallel()
	var got limits.Caller
	store := stubStore{call: func(ctx context.Context) error {
		got = rpc.CallerOf(ctx)
		return nil
	}}
	callerOf := func(s *server, token string) limits.Caller {
		got = ""
		c := newClient(t, s, "Connect", connect.WithInterceptors(shows(token)))
		if _, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t"}); err != nil {
			t.Error(err)
		}
		return got
	}
	s := mustServeSecurely(t, store, rpc.Security{Tokens: mustCredentials(t)})
	read, admin := callerOf(s, tokens["read"]), callerOf(s, tokens["admin"])
	if !strings.HasPrefix(string(read), "token ") || !strings.HasPrefix(string(admin), "token ") || read == admin ||
		strings.Contains(string(read), "hush") || callerOf(s, tokens["read"]) != read {
		t.Errorf("callers %q and %q, want a name of its own for each token, without the token", read, admin)
	}
	if address := callerOf(mustServe(t, store), ""); address != "address 127.0.0.1" {
		t.Errorf("without tokens the caller is %q, want its address", address)
	}
	if other := rpc.CallerOf(t.Context()); other != limits.Unauthenticated {
		t.Errorf("without authorization the caller is %q, want %q", other, limits.Unauthenticated)
	}
}

// TestWithoutTokens_otherHostNames has callers that reach the service under a name, as a browser does for a page whose own name
// was made to resolve to this machine.
func TestWithoutTokens_otherHostNames(t *testing.T) {
	t.Parallel()
	open, closed := mustServe(t, mustOpenStore(t)), mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t)})
	call := func(s *server, protocol, host, token string) error {
		address, err := url.Parse(s.url)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, s, protocol)
		c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address.Host)
		}
		named := ticketv1connect.NewTicketServiceClient(c.http, "http://"+net.JoinHostPort(host, address.Port()),
			append(c.options, connect.WithInterceptors(shows(token)))...)
		_, err = named.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{})
		return err
	}
	for protocol := range protocols {
		for host, allowed := range map[string]bool{
			"127.0.0.1": true, "localhost": true, "::1": true, "tickets.example": false, "127.0.0.1.example": false, "localhost.example": false,
			"LOCALHOST": true, "localhost.": true, "Localhost.": true, "localhost..": false, "tickets.example.": false,
		} {
			err := call(open, protocol, host, "")
			if allowed && err != nil || !allowed && (connect.CodeOf(err) != connect.CodePermissionDenied ||
				!strings.Contains(err.Error(), "--tokens-file")) {
				t.Errorf("%s by %s: %v", protocol, host, err)
			}
		}
		if err := call(closed, protocol, "tickets.example", tokens["read"]); err != nil {
			t.Errorf("%s with a token: %v", protocol, err)
		}
	}
}

func TestAuthorize_unknownProcedure(t *testing.T) {
	t.Parallel()
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t)})
	get := ticketv1connect.TicketServiceGetTicketProcedure
	for _, path := range []string{"/allthings.ticket.v1.TicketService/Hush", "/x" + get, get + "/", get + "/x", "/hush"} {
		for caller, want := range map[string]connect.Code{"no token": connect.CodeUnauthenticated, "a wrong token": connect.CodeUnauthenticated,
			"admin": connect.CodeUnimplemented} {
			c := newClient(t, s, "Connect", connect.WithInterceptors(shows(tokens[caller])))
			if err := (procedure{path: path, sideEffects: true}).call(t.Context(), c); connect.CodeOf(err) != want {
				t.Errorf("%s with %s: %v, want %v", path, caller, err, want)
			}
		}
	}
	if strings.Contains(strings.ToLower(s.log.String()), "hush") {
		t.Errorf("the log holds what callers wrote:\n%s", s.log.String())
	}
}

// exchange sends a request unchanged, and returns the status and the headers of the response.
func exchange(t *testing.T, s *server, request string) (status int, header http.Header) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(strings.ReplaceAll(request, "\n", "\r\n"))); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode, response.Header
}

func TestAuthenticated_rejectsWithoutTheBody(t *testing.T) {
	t.Parallel()
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t)})
	head := "POST " + ticketv1connect.TicketEventServiceTicketCreatedProcedure + " HTTP/1.1\nHost: x\nContent-Type: application/json\n"
	read := "Bearer " + tokens["read"]
	for name, test := range map[string]struct {
		headers, body string
		want          int
	}{
		"a body that never comes": {"Content-Length: 1000\n", "{", 401},
		"a body without an end":   {"Transfer-Encoding: chunked\n", "1\n{\n", 401},
		"a body too large":        {"Content-Length: 99999999999\n", "", 401},
		"another scheme":          {"Authorization: Basic " + tokens["ingest"] + "\nContent-Length: 2\n", "{}", 401},
		"a token without scheme":  {"Authorization: " + tokens["ingest"] + "\nContent-Length: 2\n", "{}", 401},
		"two tokens":              {"Authorization: " + read + "\nAuthorization: " + read + "\nContent-Length: 2\n", "{}", 401},
		"two in one":              {"Authorization: " + read + ", " + read + "\nContent-Length: 2\n", "{}", 401},
		"the scheme in lower case, and a scope that does not do": {"Authorization: bearer " + tokens["read"] + "\nContent-Length: 2\n",
			"{}", 403},
		"one that may":        {"Authorization: Bearer " + tokens["ingest"] + "\nContent-Length: 2\n", "{}", 400},
		"a token beyond size": {"Authorization: Bearer " + strings.Repeat("x", 1<<17) + "\nContent-Length: 2\n", "{}", 431},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, header := exchange(t, s, head+test.headers+"\n"+test.body)
			if status != test.want {
				t.Errorf("status %d, want %d", status, test.want)
			}
			if asks := header.Get("WWW-Authenticate") == "Bearer"; asks != (test.want == 401) {
				t.Errorf("status %d with WWW-Authenticate %q", status, header.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestAuthenticated_bodyMayBeSlow(t *testing.T) {
	t.Parallel()
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t)})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// Two requests on one connection: the first is rejected, and must not end the second.
	for _, token := range []string{"hush", tokens["read"]} {
		_, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
			"Authorization: Bearer %s\r\nContent-Length: 2\r\n\r\n",
			ticketv1connect.TicketServiceListTicketsProcedure, token)
		if err != nil {
			t.Fatal(err)
		}
		if token == "hush" {
			if _, err := conn.Write([]byte("{}")); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != http.StatusUnauthorized {
				t.Fatalf("%v, %v", response, err)
			}
			_ = response.Body.Close()
		}
	}
	// A caller without a token that now sends nothing gets a response after its time limit. If the previous request had left a time limit, it
	// would have passed too.
	if status, _ := exchange(t, s, "POST / HTTP/1.1\nHost: x\nContent-Length: 2\n\n"); status != http.StatusUnauthorized {
		t.Fatalf("status %d", status)
	}
	if _, err := conn.Write([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", response, err)
	}
	_ = response.Body.Close()
}

func TestServer_everyProtocolOverTLS(t *testing.T) {
	t.Parallel()
	files := certificates.MustCreate(t)
	var certificate httpserver.Certificate
	set := func() {
		t.Helper()
		if err := certificate.Set(files.MustRead(t)); err != nil {
			t.Fatal(err)
		}
	}
	set()
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t), TLS: certificate.Config()})
	call := func(protocol string) error {
		t.Helper()
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: files.MustPool(t)}, ForceAttemptHTTP2: protocol == "gRPC",
			DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		options := append(slices.Clone(protocols[protocol]), connect.WithInterceptors(shows(tokens["read"])))
		_, err := ticketv1connect.NewTicketServiceClient(&http.Client{Transport: transport}, s.url, options...).
			ListTickets(t.Context(), &ticketv1.ListTicketsRequest{})
		return err
	}
	for protocol := range protocols {
		if err := call(protocol); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
	}
	files.MustReplace(t)
	if err := call("gRPC"); err == nil {
		t.Error("a certificate that is not trusted was taken")
	}
	set()
	if err := call("gRPC"); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
	if err := certificate.Set([]byte("hush"), []byte("hush")); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("no certificate: %v", err)
	}
	if err := call("Connect"); err != nil {
		t.Errorf("after a certificate that can't be used: %v", err)
	}
}
