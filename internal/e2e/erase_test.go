package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/samples"
)

// personal is some of what the title, the description, a field and an attribute of created-full.json say, and the title of
// updated-old-new.json.
var personal = []string{"Heizung", "entlüftet", "+41790000001", "Hauptstrasse"}

// TestAnErasedTicketStaysGone erases a ticket, and has each gateway deliver events of it afterwards: those that came before, and late ones.
func TestAnErasedTicketStaysGone(t *testing.T) {
	t.Parallel()
	id := fullTicket(t).GetTicketId()
	event := func(number string) string { return "0b6a4a0e-5b7e-4a5e-9c66-000000000" + number }
	created, status, title := mustRead(t, "created-full"), mustRead(t, "updated-status"), mustRead(t, "updated-old-new")
	createdAnew := bytes.Replace(created, []byte(event("001")), []byte(event("0ff")), 1)
	for name, start := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for _, body := range [][]byte{created, status} {
				s.postToAll(t, client, body, http.StatusOK)
			}
			s.waitForTicket(t, id, 2)
			if diff := cmp.Diff(personal, s.held(t, personal)); diff != "" {
				t.Fatalf("what ticketsvc should hold before (-) and does (+):\n%s", diff)
			}

			// Where there are several, at another ticketsvc than is read from.
			operator := ticketv1connect.NewTicketServiceClient(client, "http://"+s.ticketsvcs[len(s.ticketsvcs)-1].address)
			erased, err := operator.EraseTicket(t.Context(), &ticketv1.EraseTicketRequest{TicketId: id})
			if err != nil || erased.GetErasedEventCount() != 2 {
				t.Fatalf("EraseTicket = %v, %v; want 2 events", erased, err)
			}
			s.expectErased(t, id)

			for _, body := range [][]byte{created, status, title, createdAnew} {
				s.postToAll(t, client, body, http.StatusOK)
			}
			s.waitUntilForwarded(t, event("001"), event("002"), event("003"), event("0ff"))
			s.expectErased(t, id)
		})
	}
}

// mustRead returns a sample delivery.
func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	body, err := samples.Files.ReadFile(name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// waitUntilForwarded waits until these are the events of all deliveries, and all of them are forwarded.
func (s *system) waitUntilForwarded(t *testing.T, eventIDs ...string) {
	t.Helper()
	const forwarded = "2" // of inbox.State
	want := map[string]string{}
	for _, id := range eventIDs {
		want[id] = forwarded
	}
	eventually(t, func(context.Context) (bool, error) {
		got := map[string]string{}
		for _, row := range s.rows(t, "gateway", "SELECT event_id, state FROM deliveries") {
			got[row[0]] = row[1]
		}
		diff := cmp.Diff(want, got)
		return diff == "", fmt.Errorf("want (-), got (+):\n%s", diff)
	})
}

// expectErased fails unless nothing is left of a ticket but the ids and times of created-full.json and updated-status.json.
func (s *system) expectErased(t *testing.T, id string) {
	t.Helper()
	if got, err := s.tickets.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: id}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("GetTicket = %v, %v; want NOT_FOUND", got, err)
	}
	if tickets, err := s.allTickets(t.Context()); err != nil || len(tickets) > 0 {
		t.Errorf("ListTickets = %v, %v; want none", tickets, err)
	}
	want := &ticketv1.ListTicketEventsResponse{Events: []*ticketv1.TicketEvent{
		{EventId: "0b6a4a0e-5b7e-4a5e-9c66-000000000001", EventName: "ticket.created", OccurTime: at(t, "2026-03-02T07:15:30.123Z")},
		{EventId: "0b6a4a0e-5b7e-4a5e-9c66-000000000002", EventName: "ticket.updated", OccurTime: at(t, "2026-03-02T08:00:00Z")},
	}}
	for _, event := range want.GetEvents() {
		event.TicketId, event.ChangedFields = id, &fieldmaskpb.FieldMask{}
		event.Outcome = ticketv1.TicketEventOutcome_TICKET_EVENT_OUTCOME_ERASED
	}
	got, err := s.tickets.ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{TicketId: id})
	if err != nil {
		t.Fatal(err)
	}
	byID := func(a, b *ticketv1.TicketEvent) bool { return a.GetEventId() < b.GetEventId() }
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.SortRepeated(byID),
		protocmp.IgnoreFields(&ticketv1.TicketEvent{}, "receive_time", "sequence")); diff != "" {
		t.Errorf("ListTicketEvents: want (-), got (+):\n%s", diff)
	}
	if held := s.held(t, personal); len(held) > 0 {
		t.Errorf("ticketsvc still holds %q", held)
	}
}

// held returns which of these texts are in any column of any of ticketsvc's tables, in whatever case: the index of words has them in
// lower case.
func (s *system) held(t *testing.T, texts []string) []string {
	t.Helper()
	var all strings.Builder
	for _, table := range s.rows(t, "ticketsvc", s.listTables) {
		for _, row := range s.rows(t, "ticketsvc", "SELECT * FROM "+table[0]) {
			all.WriteString(strings.Join(row, "\n") + "\n")
		}
	}
	var held []string
	for _, text := range texts {
		if strings.Contains(strings.ToLower(all.String()), strings.ToLower(text)) {
			held = append(held, text)
		}
	}
	return held
}
