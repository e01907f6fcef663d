package tickets_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/tickets"
)

// recorder keeps which tickets were recorded, and refuses the ticket refused.
type recorder struct {
	ticketv1connect.TicketEventServiceClient
	refused string

	mu       sync.Mutex
	recorded map[string]*ticketv1.TicketCreatedRequest
}

var errRefused = errors.New("refused")

func (r *recorder) TicketCreated(_ context.Context, request *ticketv1.TicketCreatedRequest) (*ticketv1.TicketCreatedResponse, error) {
	if request.GetTicket().GetTicketId() == r.refused {
		return nil, errRefused
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recorded[request.GetEvent().GetEventId()] = request
	return &ticketv1.TicketCreatedResponse{}, nil
}

func TestRecord_recordsEachTicketOnce(t *testing.T) {
	t.Parallel()
	const n = 1500
	r := &recorder{recorded: map[string]*ticketv1.TicketCreatedRequest{}}
	if err := tickets.Record(t.Context(), r, n); err != nil {
		t.Fatal(err)
	}
	if len(r.recorded) != n {
		t.Errorf("%d different events were recorded, want %d", len(r.recorded), n)
	}
	for number := range n {
		want := tickets.Created(number)
		if !proto.Equal(r.recorded[want.GetEvent().GetEventId()], want) {
			t.Errorf("ticket %d was recorded as %v", number, r.recorded[want.GetEvent().GetEventId()])
		}
	}
}

func TestRecord_returnsTheFirstError(t *testing.T) {
	t.Parallel()
	r := &recorder{recorded: map[string]*ticketv1.TicketCreatedRequest{}, refused: tickets.ID(70)}
	if err := tickets.Record(t.Context(), r, 1000); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "ticket 70") {
		t.Errorf("got %v, want %v for ticket 70", err, errRefused)
	}
}

func TestID_growsAndIsUnique(t *testing.T) {
	t.Parallel()
	last := ""
	for _, number := range []int{0, 1, 2, 255, 256, 999_999, 1_000_000, 10_000_000} {
		id := tickets.ID(number)
		if id <= last || len(id) != 24 {
			t.Errorf("the ticket %d has the id %q after %q", number, id, last)
		}
		last = id
	}
}
