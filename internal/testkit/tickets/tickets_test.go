package tickets_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/tickets"
)

// recorder counts the recorded tickets. It refuses the ticket refused, and fails with err if that is not nil.
type recorder struct {
	ticketv1connect.TicketEventServiceClient
	refused string
	err     error

	mu       sync.Mutex
	recorded map[string]*ticketv1.TicketCreatedRequest
}

func (r *recorder) RecordTicketEvents(_ context.Context, request *ticketv1.RecordTicketEventsRequest,
) (*ticketv1.RecordTicketEventsResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return nil, r.err
	}
	response := &ticketv1.RecordTicketEventsResponse{}
	for _, event := range request.GetEvents() {
		result := &ticketv1.TicketEventResult{}
		if created := event.GetCreated(); created.GetTicket().GetTicketId() == r.refused {
			result.Result = &ticketv1.TicketEventResult_Error{Error: &ticketv1.TicketEventError{Message: "refused"}}
		} else {
			r.recorded[created.GetEvent().GetEventId()] = created
		}
		response.Results = append(response.Results, result)
	}
	return response, nil
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
	recorded := map[string]*ticketv1.TicketCreatedRequest{}
	err := tickets.Record(t.Context(), &recorder{recorded: recorded, refused: tickets.ID(700)}, 1000)
	if err == nil || err.Error() != "recording ticket 700: refused" {
		t.Errorf("got %v, want that ticket 700 was refused", err)
	}
	away := errors.New("away")
	if err := tickets.Record(t.Context(), &recorder{recorded: recorded, err: away}, 1000); !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
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
