package e2e_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/simulator"
	"github.com/ticketbridge/ticketbridge/internal/testkit/certificates"
)

// The tokens of these tests. Each has "hush" in it, which must be in no log.
const (
	oldToken    = "hush-the-old-token"
	newToken    = "hush-the-new-token"
	readerToken = "hush-a-reader's-token"
)

// guardedSystem is one of each service, with tokens in files, over TLS.
type guardedSystem struct {
	*system
	tokens, token string
	certificate   certificates.Files
	// dials counts the connections that its clients have made.
	dials atomic.Int64
}

func newGuardedSystem(t *testing.T) *guardedSystem {
	t.Helper()
	folder := t.TempDir()
	g := &guardedSystem{tokens: filepath.Join(folder, "tokens"), token: filepath.Join(folder, "token"),
		certificate: certificates.MustCreate(t)}
	mustReplace(t, g.tokens, "ingest="+oldToken+"\nread="+readerToken+"\n")
	mustReplace(t, g.token, oldToken+"\n")
	g.system = newSystem(t, "TICKETSVC_TOKENS_FILE="+g.tokens, "TICKETSVC_TLS_CERT_FILE="+g.certificate.Certificate,
		"TICKETSVC_TLS_KEY_FILE="+g.certificate.Key, "GATEWAY_TICKETSVC_TOKEN_FILE="+g.token,
		"GATEWAY_TICKETSVC_CA_FILE="+g.certificate.Certificate)
	client, url := g.newClient(t)
	g.tickets = ticketv1connect.NewTicketServiceClient(client, url, connect.WithInterceptors(showing(readerToken)))
	t.Cleanup(func() {
		for _, service := range []*service{g.gateways[0], g.ticketsvcs[0]} {
			if has, err := service.logHas("hush"); has || err != nil {
				t.Errorf("%s holds a token: %v", service.log, err)
			}
		}
	})
	return g
}

// newClient returns a client that trusts the certificate as it is now, and where ticketsvc is.
func (g *guardedSystem) newClient(t *testing.T) (*http.Client, string) {
	t.Helper()
	dialer := &net.Dialer{}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: g.certificate.MustPool(t)}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			g.dials.Add(1)
			return dialer.DialContext(ctx, network, address)
		}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, "https://" + g.ticketsvcs[0].address
}

// showing makes a client show a token.
func showing(token string) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			request.Header().Set("Authorization", "Bearer "+token)
			return next(ctx, request)
		}
	}
}

// mustReplace gives a file another content, as a whole.
func mustReplace(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// mustHangUp sends SIGHUP, and waits until the files were read again for the count-th time.
func mustHangUp(t *testing.T, s *service, count int) {
	t.Helper()
	if err := s.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(context.Context) (bool, error) {
		log, err := os.ReadFile(s.log)
		return strings.Count(string(log), "files were read again") >= count, err
	})
}

// expectCode calls with a token, and expects an answer of this code: for a token of the gateway's INVALID_ARGUMENT is as far as an empty
// event gets.
func (g *guardedSystem) expectCode(t *testing.T, events ticketv1connect.TicketEventServiceClient, token string, want connect.Code) {
	t.Helper()
	ctx, call := connect.NewClientContext(t.Context())
	call.RequestHeader().Set("Authorization", "Bearer "+token)
	if _, err := events.TicketCreated(ctx, &ticketv1.TicketCreatedRequest{}); connect.CodeOf(err) != want {
		t.Errorf("a call with the token %q: %v, want %v", token, err, want)
	}
}

func TestATokenIsReplacedWhileEventsPass(t *testing.T) {
	t.Parallel()
	const events = 2000
	g := newGuardedSystem(t)
	httpClient, url := g.newClient(t)
	client := ticketv1connect.NewTicketEventServiceClient(httpClient, url)
	g.expectCode(t, client, oldToken, connect.CodeInvalidArgument)
	g.expectCode(t, client, newToken, connect.CodeUnauthenticated)
	g.expectCode(t, client, readerToken, connect.CodePermissionDenied)
	dials := g.dials.Load()
	sending := g.send(t, simulator.Generate(4, events, simulator.GenerateOptions{}))

	// Each time that ticketsvc is asked, it reads two things: the tokens, and the certificate with its key.
	sending.wait(t, events/4)
	mustReplace(t, g.tokens, "ingest="+oldToken+"\ningest="+newToken+"\nread="+readerToken+"\n")
	mustHangUp(t, g.ticketsvcs[0], 2)
	g.expectCode(t, client, oldToken, connect.CodeInvalidArgument)
	g.expectCode(t, client, newToken, connect.CodeInvalidArgument)

	sending.wait(t, events/2)
	mustReplace(t, g.token, newToken+"\n")
	mustHangUp(t, g.gateways[0], 1)

	sending.wait(t, events*3/4)
	mustReplace(t, g.tokens, "ingest="+newToken+"\nread="+readerToken+"\n")
	mustHangUp(t, g.ticketsvcs[0], 4)
	g.expectCode(t, client, oldToken, connect.CodeUnauthenticated)
	g.expectCode(t, client, newToken, connect.CodeInvalidArgument)

	g.expectRecorded(t, sending.finish(t, events))
	if refused, err := g.gateways[0].logHas("refuses every event"); refused || err != nil {
		t.Errorf("the gateway was refused: %v", err)
	}
	// One connection each of the two clients, of which the reader's had not called before.
	if made := g.dials.Load() - dials; made > 1 {
		t.Errorf("%d connections were made anew: reading files dropped some", made)
	}

	// What can't be used changes nothing.
	mustReplace(t, g.tokens, "")
	if err := g.ticketsvcs[0].Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(context.Context) (bool, error) { return g.ticketsvcs[0].logHas("the previous ones stay in use") })
	g.expectCode(t, client, newToken, connect.CodeInvalidArgument)
	g.expectCode(t, client, "", connect.CodeUnauthenticated)

	// New connections get a new certificate, without a signal as well.
	g.certificate.MustReplace(t)
	eventually(t, func(ctx context.Context) (bool, error) {
		httpClient, url := g.newClient(t)
		_, err := ticketv1connect.NewTicketEventServiceClient(httpClient, url).TicketCreated(ctx, &ticketv1.TicketCreatedRequest{})
		return connect.CodeOf(err) == connect.CodeUnauthenticated, err
	})
	g.expectCode(t, client, newToken, connect.CodeInvalidArgument)
}

// TestAWrongTokenLosesNothing replaces ticketsvc's token first and the gateway's much later, and sends no signal.
func TestAWrongTokenLosesNothing(t *testing.T) {
	t.Parallel()
	const events = 2000
	g := newGuardedSystem(t)
	sending := g.send(t, simulator.Generate(5, events, simulator.GenerateOptions{}))
	sending.wait(t, events/4)
	mustReplace(t, g.tokens, "ingest="+newToken+"\nread="+readerToken+"\n")
	acknowledged := sending.finish(t, events)
	// There is something to be refused, should all have passed before the file was looked at.
	eventually(t, func(context.Context) (bool, error) { return g.ticketsvcs[0].logHas("files were read again") })
	late := g.send(t, simulator.Generate(6, 10, simulator.GenerateOptions{}))
	for ticket, events := range late.finish(t, 10) {
		acknowledged[ticket] = slices.Sorted(slices.Values(append(acknowledged[ticket], events...)))
	}
	eventually(t, func(context.Context) (bool, error) { return g.gateways[0].logHas("ticketsvc refuses every event") })
	mustReplace(t, g.token, newToken+"\n")
	g.expectRecorded(t, acknowledged)
	if goesOn, err := g.gateways[0].logHas("forwarding resumed"); !goesOn || err != nil {
		t.Errorf("the gateway's log does not say that it goes on: %v", err)
	}
}
