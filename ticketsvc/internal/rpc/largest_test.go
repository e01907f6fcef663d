package rpc_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// TestLargestEvent_isAnswered records the largest event that there may be, and reads its ticket. In JSON, where a byte can become six, the
// caller is told to ask for protobuf.
func TestLargestEvent_isAnswered(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	request := created("largest", "largest", 1)
	request.Ticket.Title = strings.Repeat("x", rpc.MaxReadBytes-1000)
	request.Ticket.Title += strings.Repeat("x", rpc.MaxReadBytes-proto.Size(request))
	if _, err := newClient(t, s, "gRPC").TicketCreated(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	for protocol := range protocols {
		if protocol == "Connect JSON" {
			continue
		}
		c := newClient(t, s, protocol, connect.WithAcceptCompression("gzip", nil, nil))
		got, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "largest"})
		if err != nil || got.GetTicket().GetTitle() != request.Ticket.Title {
			t.Errorf("%s, GetTicket: a title of %d bytes, %v", protocol, len(got.GetTicket().GetTitle()), err)
		}
		list, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{})
		if err != nil || len(list.GetTickets()) != 1 {
			t.Errorf("%s, ListTickets: %d tickets, %v", protocol, len(list.GetTickets()), err)
		}
	}
}

// TestLargestTicket_fitsIntoTheMemoryOfOneCaller has the ticket with the most bytes and elements that is answered at all.
func TestLargestTicket_fitsIntoTheMemoryOfOneCaller(t *testing.T) {
	t.Parallel()
	for _, w := range []ticket.Weight{{Bytes: rpc.MaxReadBytes, Elements: 10_000}, {Bytes: 1 << 20, Elements: 100_000}} {
		if err := rpc.RoomForAnswer("t", w); err != nil {
			t.Errorf("%+v is not answered: %v", w, err)
		}
	}
	for elements := 0; elements < 200_000; elements += 100 {
		for _, bytes := range []int{0, rpc.MaxReadBytes / 2, rpc.MaxReadBytes} {
			w := ticket.Weight{Bytes: bytes, Elements: elements}
			inJSON := rpc.AnswerBytes(w) + rpc.MaxReadBytes
			if rpc.RoomForAnswer("t", w) == nil && inJSON > rpc.MaxAnswersBytes/2-rpc.CallBytes {
				t.Fatalf("%+v takes %d bytes, more than one caller may hold", w, inJSON)
			}
		}
	}
}
