package rpc_test

import (
	"testing"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

func TestEraseTicket(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, mustOpenStore(t)), "gRPC")
	if _, err := c.TicketCreated(t.Context(), created("e1", "t1", 1)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{1, 0} {
		erased, err := c.EraseTicket(t.Context(), &ticketv1.EraseTicketRequest{TicketId: "t1"})
		if err != nil || erased.GetErasedEventCount() != want {
			t.Errorf("EraseTicket = %v, %v; want %d events", erased, err, want)
		}
	}
	late, err := c.TicketCreated(t.Context(), created("e2", "t1", 2))
	if err != nil || late.GetDuplicate() || !late.GetTicketErased() {
		t.Errorf("a late event: %v, %v; want it acknowledged and dropped", late, err)
	}
	if _, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t1"}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("GetTicket: %v, want NOT_FOUND", err)
	}
	events, err := c.ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{TicketId: "t1"})
	if err != nil || len(events.GetEvents()) != 1 || events.GetEvents()[0].GetEventId() != "e1" ||
		events.GetEvents()[0].GetOutcome() != ticketv1.TicketEventOutcome_TICKET_EVENT_OUTCOME_ERASED {
		t.Errorf("ListTicketEvents = %v, %v; want the id alone", events, err)
	}
	if _, err := c.EraseTicket(t.Context(), &ticketv1.EraseTicketRequest{}); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("EraseTicket without an id: %v, want INVALID_ARGUMENT", err)
	}
}
