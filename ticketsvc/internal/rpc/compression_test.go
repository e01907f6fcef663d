package rpc_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// TestRequestBody_largestMayBeCompressed sends a request of the maximum size, and one with a byte more. Both are also invalid for another
// reason.
func TestRequestBody_largestMayBeCompressed(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, mustOpenStore(t)), "gRPC", connect.WithSendGzip())
	request := &ticketv1.TicketCreatedRequest{Ticket: &ticketv1.Ticket{Title: strings.Repeat("x", rpc.MaxReadBytes-100)}}
	request.Ticket.Title += strings.Repeat("x", rpc.MaxReadBytes-proto.Size(request))
	for _, want := range []connect.Code{connect.CodeInvalidArgument, connect.CodeResourceExhausted} {
		if _, err := c.TicketCreated(t.Context(), request); connect.CodeOf(err) != want {
			t.Errorf("%d bytes: %v, want %v", proto.Size(request), err, want)
		}
		request.Ticket.Title += "x"
	}
}
