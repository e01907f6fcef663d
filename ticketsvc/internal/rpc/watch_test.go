package rpc_test

import (
	"context"
	"fmt"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// stream is a stream of WatchTickets.
type stream struct {
	*connect.ServerStreamForClient[ticketv1.WatchTicketsResponse]
	cancel context.CancelFunc
	token  string
}

// mustWatch begins to watch until the end of the test.
func mustWatch(t *testing.T, c client, token string, filter *ticketv1.TicketFilter) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got, err := c.WatchTickets(ctx, &ticketv1.WatchTicketsRequest{ResumeToken: token, Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{ServerStreamForClient: got, cancel: cancel, token: token}
	t.Cleanup(s.end)
	return s
}

func (s *stream) end() {
	s.cancel()
	_ = s.Close()
}

// next returns the next message, in the form of [said].
func (s *stream) next(t *testing.T) string {
	t.Helper()
	if !s.Receive() {
		t.Fatalf("the stream ended: %v", s.Err())
	}
	if s.Msg().GetResumeToken() == "" {
		t.Errorf("%v has no token", s.Msg())
	}
	s.token = s.Msg().GetResumeToken()
	return said(s.Msg())
}

// said returns a message in short: the sequence number and the event, if there are any, and the ticket with its title.
func said(m *ticketv1.WatchTicketsResponse) string {
	switch {
	case m.GetChange().GetEvent() != nil:
		e := m.GetChange().GetEvent()
		return fmt.Sprintf("%d %s: %s %q", e.GetSequence(), e.GetEventId(), e.GetTicketId(), m.GetChange().GetTicket().GetTitle())
	case m.GetChange() != nil:
		return fmt.Sprintf("%s %q", m.GetChange().GetTicket().GetTicketId(), m.GetChange().GetTicket().GetTitle())
	case m.GetRemoved() != nil:
		return fmt.Sprintf("%s left: %v", m.GetRemoved().GetTicketId(), m.GetRemoved().GetReason())
	case m.GetHeartbeat().GetSnapshot():
		return "heartbeat in the snapshot"
	case m.GetHeartbeat() != nil && m.GetHeartbeat().GetSendTime().IsValid():
		return "heartbeat"
	}
	return "nothing"
}

func (s *stream) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := s.next(t); got != w {
			t.Fatalf("the stream says %s, want %s", got, w)
		}
	}
}

// expectEnd fails if the stream does not end with a code now.
func (s *stream) expectEnd(t *testing.T, want connect.Code) {
	t.Helper()
	if s.Receive() {
		t.Fatalf("the stream says %s, want its end", said(s.Msg()))
	}
	if connect.CodeOf(s.Err()) != want {
		t.Fatalf("the stream ended with %v, want %v", s.Err(), want)
	}
}

func titled(eventID, ticketID string, seconds int64, title string) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, OccurTime: tickettest.At(seconds),
		Fields: tickettest.Named("title"), Values: ticket.Ticket{Title: title}}
}

func mustRecord(t testing.TB, store ticket.Store, changes ...ticket.Change) {
	t.Helper()
	if _, err := store.Append(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

func mustErase(t *testing.T, store ticket.Store, id string) {
	t.Helper()
	if _, err := store.Erase(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func TestWatchTickets(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			store := mustOpenStore(t)
			c := newClient(t, mustServe(t, store), protocol)
			mustRecord(t, store, titled("e1", "b", 1, "one"), titled("e2", "a", 2, "two"))
			s := mustWatch(t, c, "", nil)
			s.expect(t, `a "two"`)
			inSnapshot := s.token
			s.expect(t, `b "one"`, "heartbeat")
			afterWalk := s.token
			mustRecord(t, store, titled("e3", "c", 3, "three"))
			mustErase(t, store, "a")
			s.expect(t, `3 e3: c "three"`, "a left: REASON_ERASED")
			mustWatch(t, c, inSnapshot, nil).expect(t, `b "one"`, `c "three"`, "heartbeat", `3 e3: c "three"`, "a left: REASON_ERASED")
			mustWatch(t, c, afterWalk, &ticketv1.TicketFilter{}).expect(t, `3 e3: c "three"`, "a left: REASON_ERASED", "heartbeat")
			mustWatch(t, c, s.token, nil).expect(t, "heartbeat")
		})
	}
}

func TestWatchTickets_changeEqualsOtherRPCs(t *testing.T) {
	t.Parallel()
	store := mustOpenStore(t)
	c := newClient(t, mustServe(t, store), "gRPC")
	s := mustWatch(t, c, "", nil)
	s.expect(t, "heartbeat")
	request := created("e1", "t", 1)
	request.Ticket.Title, request.FieldMask = personal, &fieldmaskpb.FieldMask{Paths: []string{"title"}}
	if _, err := c.TicketCreated(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	s.next(t)
	got, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t"})
	if err != nil {
		t.Fatal(err)
	}
	events, err := c.ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{TicketId: "t"})
	if err != nil {
		t.Fatal(err)
	}
	want := &ticketv1.TicketChange{Event: events.GetEvents()[0], Ticket: got.GetTicket()}
	if !proto.Equal(want, s.Msg().GetChange()) {
		t.Errorf("the change is %v, want %v", s.Msg().GetChange(), want)
	}
}

func TestWatchTickets_heartbeatReportsTheSnapshot(t *testing.T) {
	t.Parallel()
	for _, snapshot := range []bool{false, true} {
		message := rpc.WatchResponse(&watch.Message{Kind: watch.Heartbeat, ResumePoint: watch.ResumePoint{Snapshot: snapshot}})
		if message.GetHeartbeat() == nil || message.GetHeartbeat().GetSnapshot() != snapshot {
			t.Errorf("in the snapshot %v: %v", snapshot, message)
		}
	}
}
