package rpc_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// TestABombIsNotInflatedToItsEnd sends requests that are some kilobytes, and many megabytes once they are inflated. Whoever inflates them to
// their end knows how large they are.
func TestABombIsNotInflatedToItsEnd(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	bomb := &ticketv1.TicketCreatedRequest{Ticket: &ticketv1.Ticket{Title: strings.Repeat("x", 3*rpc.MaxReadBytes)}}
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			_, err := newClient(t, s, protocol, connect.WithSendGzip()).TicketCreated(t.Context(), bomb)
			if connect.CodeOf(err) != connect.CodeResourceExhausted || !strings.Contains(err.Error(), "unable to determine message size") {
				t.Errorf("%v, want RESOURCE_EXHAUSTED, and that nobody knows how large it is", err)
			}
		})
	}
}

// TestTheLargestRequestMayBeCompressed sends a request that is as large as one may be, and one that has a byte more. Both are wrong otherwise.
func TestTheLargestRequestMayBeCompressed(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	for _, protocol := range []string{"Connect", "gRPC", "gRPC-Web"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, s, protocol, connect.WithSendGzip())
			request := &ticketv1.TicketCreatedRequest{Ticket: &ticketv1.Ticket{Title: strings.Repeat("x", rpc.MaxReadBytes-100)}}
			request.Ticket.Title += strings.Repeat("x", rpc.MaxReadBytes-proto.Size(request))
			for _, want := range []connect.Code{connect.CodeInvalidArgument, connect.CodeResourceExhausted} {
				if _, err := c.TicketCreated(t.Context(), request); connect.CodeOf(err) != want {
					t.Errorf("%d bytes: %v, want %v", proto.Size(request), err, want)
				}
				request.Ticket.Title += "x"
			}
		})
	}
}
