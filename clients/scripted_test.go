package clients_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/external"
)

// scripted is a ticketsvc that sends the messages of a test. So a stream can end in the middle of a snapshot, or be silent.
type scripted struct {
	ticketv1connect.UnimplementedTicketServiceHandler
	calls chan *call
}

// call is a stream that a client has begun.
type call struct {
	token, authorization string
	messages             chan *ticketv1.WatchTicketsResponse
	ends                 chan connect.Code
}

func (s *scripted) WatchTickets(ctx context.Context, request *ticketv1.WatchTicketsRequest,
	stream *connect.ServerStream[ticketv1.WatchTicketsResponse],
) error {
	c := &call{request.GetResumeToken(), "", make(chan *ticketv1.WatchTicketsResponse), make(chan connect.Code)}
	if info, ok := connect.CallInfoForHandlerContext(ctx); ok {
		c.authorization = info.RequestHeader().Get("Authorization")
	}
	select {
	case s.calls <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		select {
		case message := <-c.messages:
			if err := stream.Send(message); err != nil {
				return err
			}
		case code := <-c.ends:
			return connect.NewError(code, errors.New("from the test"))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// newScript starts a scripted ticketsvc. The client is not started yet.
func newScript(t *testing.T, program []string) (*harness, *scripted) {
	t.Helper()
	return newScriptAt(t, "127.0.0.1:0", program)
}

// newScriptAt is like newScript, with an address to listen on.
func newScriptAt(t *testing.T, address string, program []string) (*harness, *scripted) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if away := errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT); away && !external.Required() {
		t.Skip("this machine has no such address: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{calls: make(chan *call)}
	server := httptest.NewUnstartedServer(nil)
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	_, server.Config.Handler = ticketv1connect.NewTicketServiceHandler(s)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	h := &harness{folder: t.TempDir(), url: server.URL, program: program}
	mustWrite(t, h.path("token"), readerToken+"\n")
	return h, s
}

// expectCall waits until the client begins a stream with this token.
func (s *scripted) expectCall(t *testing.T, token string) *call {
	t.Helper()
	select {
	case c := <-s.calls:
		if c.token != token {
			t.Fatalf("the stream begins with the token %q, want %q", c.token, token)
		}
		return c
	case <-time.After(bound):
		t.Fatalf("the client begins no stream with the token %q within %v", token, bound)
		return nil
	}
}

func (c *call) send(t *testing.T, messages ...*ticketv1.WatchTicketsResponse) {
	t.Helper()
	for _, message := range messages {
		select {
		case c.messages <- message:
		case <-time.After(bound):
			t.Fatalf("the stream is gone before the message with the token %q", message.GetResumeToken())
		}
	}
}

func (c *call) end(t *testing.T, code connect.Code) {
	t.Helper()
	select {
	case c.ends <- code:
	case <-time.After(bound):
		t.Fatalf("the stream is gone before it ends with %v", code)
	}
}

// inSnapshot returns the message with a ticket of the snapshot.
func inSnapshot(token, id string, revision int64) *ticketv1.WatchTicketsResponse {
	return &ticketv1.WatchTicketsResponse{ResumeToken: token, Message: &ticketv1.WatchTicketsResponse_Change{
		Change: &ticketv1.TicketChange{Ticket: &ticketv1.Ticket{TicketId: id, Revision: revision}}}}
}

// changed returns the message with a ticket that an event changed.
func changed(token, id string, revision int64) *ticketv1.WatchTicketsResponse {
	message := inSnapshot(token, id, revision)
	message.GetChange().Event = &ticketv1.TicketEvent{EventId: "event-" + token, TicketId: id}
	return message
}

func erased(token, id string) *ticketv1.WatchTicketsResponse {
	return &ticketv1.WatchTicketsResponse{ResumeToken: token, Message: &ticketv1.WatchTicketsResponse_Removed{
		Removed: &ticketv1.TicketRemoved{TicketId: id, Reason: ticketv1.TicketRemoved_REASON_ERASED}}}
}

func heartbeat(token string, snapshot bool) *ticketv1.WatchTicketsResponse {
	return &ticketv1.WatchTicketsResponse{ResumeToken: token, Message: &ticketv1.WatchTicketsResponse_Heartbeat{
		Heartbeat: &ticketv1.Heartbeat{Snapshot: snapshot}}}
}

// expectCopy waits until the copy has exactly these tickets. want has each id followed by the revision, separated by blanks.
func (h *harness) expectCopy(t *testing.T, want string) {
	t.Helper()
	eventually(t, func() error {
		tickets, err := h.copied(t)
		if err != nil {
			return err
		}
		var got []string
		for id, ticket := range tickets {
			got = append(got, fmt.Sprintf("%s%d", id, ticket.GetRevision()))
		}
		slices.Sort(got)
		if got := strings.Join(got, " "); got != want {
			return fmt.Errorf("the copy has %q, want %q", got, want)
		}
		return nil
	})
}

// expectLog waits until the log of the follower has a text at least that many times.
func (h *harness) expectLog(t *testing.T, text string, times int) {
	t.Helper()
	eventually(t, func() error {
		if log := h.log(t); strings.Count(log, text) < times {
			return fmt.Errorf("the log does not have %q %d times:\n%s", text, times, log)
		}
		return nil
	})
}
