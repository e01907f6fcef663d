package rpc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func TestPageToken_onlyForItsQuery(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, mustOpenStore(t)), "gRPC")
	for i := range 3 {
		if _, err := c.TicketCreated(t.Context(), created(fmt.Sprintf("e%d", i), "t", int64(i))); err != nil {
			t.Fatal(err)
		}
		if _, err := c.TicketCreated(t.Context(), created(fmt.Sprintf("other%d", i), fmt.Sprintf("t%d", i), int64(i))); err != nil {
			t.Fatal(err)
		}
	}
	list := func(token, orderBy string, filter *ticketv1.TicketFilter) (string, error) {
		page, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{PageSize: 1, PageToken: token, OrderBy: orderBy, Filter: filter})
		return page.GetNextPageToken(), err
	}
	events := func(token, ticketID string) (string, error) {
		page, err := c.ListTicketEvents(t.Context(), &ticketv1.ListTicketEventsRequest{PageSize: 1, PageToken: token, TicketId: ticketID})
		return page.GetNextPageToken(), err
	}
	filter := &ticketv1.TicketFilter{AppIds: []string{"app", "x"}, Text: "heiz kalt"}
	listToken, err := list("", "", filter)
	if err != nil {
		t.Fatal(err)
	}
	eventToken, err := events("", "t")
	if err != nil {
		t.Fatal(err)
	}
	sameFilter := &ticketv1.TicketFilter{AppIds: []string{"x", "app", "app"}, Text: "KALT, heiz"}
	if _, err := list(listToken, "update_time desc", sameFilter); err != nil {
		t.Errorf("the same query, said in another way: %v", err)
	}
	wrong := map[string]func() (string, error){
		"another order": func() (string, error) { return list(listToken, "update_time", filter) },
		"another filter": func() (string, error) {
			return list(listToken, "", &ticketv1.TicketFilter{AppIds: []string{"app"}, Text: "heiz kalt"})
		},
		"another text": func() (string, error) {
			return list(listToken, "", &ticketv1.TicketFilter{AppIds: []string{"app", "x"}, Text: "heiz"})
		},
		"no filter": func() (string, error) { return list(listToken, "", nil) },
		"ids elsewhere": func() (string, error) {
			return list(listToken, "", &ticketv1.TicketFilter{CategoryIds: []string{"app", "x"}, Text: "heiz kalt"})
		},
		"another RPC":          func() (string, error) { return events(listToken, "t") },
		"another RPC's":        func() (string, error) { return list(eventToken, "", filter) },
		"another ticket":       func() (string, error) { return events(eventToken, "t1") },
		"with something added": func() (string, error) { return events(eventToken+"AA", "t") },
		"with padding":         func() (string, error) { return events(eventToken+"=", "t") },
		"with a line break":    func() (string, error) { return events(eventToken+"\n", "t") },
		"cut short":            func() (string, error) { return events(eventToken[:len(eventToken)-4], "t") },
	}
	raw, err := base64.RawURLEncoding.DecodeString(listToken)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		wrong[fmt.Sprintf("byte %d changed", i)] = func() (string, error) {
			return list(base64.RawURLEncoding.EncodeToString(changed), "", filter)
		}
	}
	for name, call := range wrong {
		if _, err := call(); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("a token %s: %v, want INVALID_ARGUMENT", name, err)
		}
	}
}

// TestPageToken_dependsOnEveryFieldOfTheFilter uses tokens with a filter that differs in one field.
func TestPageToken_dependsOnEveryFieldOfTheFilter(t *testing.T) {
	t.Parallel()
	c := newClient(t, mustServe(t, mustOpenStore(t)), "gRPC")
	position := append([]byte{0}, "t"...) // After a ticket without a time.
	for field := range tickettest.FilterFields() {
		filters := []*ticketv1.TicketFilter{nil, tickettest.FilterWith(field, 1), tickettest.FilterWith(field, 2)}
		if field.Kind() == protoreflect.BoolKind {
			filters = filters[:2]
		}
		for i, of := range filters {
			token := rpc.Token(&ticketv1.ListTicketsRequest{Filter: of}, ticket.DatabaseID{}, position)
			for j, with := range filters {
				_, err := c.ListTickets(t.Context(), &ticketv1.ListTicketsRequest{Filter: with, PageToken: token})
				if i == j && err != nil || i != j && connect.CodeOf(err) != connect.CodeInvalidArgument {
					t.Errorf("the token of the filter {%v} with {%v}: %v", of, with, err)
				}
			}
		}
	}
}

func FuzzPageToken(f *testing.F) {
	log := slog.New(slog.DiscardHandler)
	service := rpc.New(stubStore{call: func(context.Context) error { return nil }}, func(context.Context) error { return nil }, log)
	f.Cleanup(func() { _ = service.Close(context.Background()) })
	handler := service.NewServer(rpc.Security{}, log).Handler
	f.Add("")
	f.Add("AQ")
	f.Add(base64.RawURLEncoding.EncodeToString(append([]byte{1}, make([]byte, 40)...)))
	f.Fuzz(func(t *testing.T, token string) {
		body, err := protojson.Marshal(&ticketv1.ListTicketsRequest{PageToken: token})
		if err != nil {
			return // Not UTF-8, which no client can send.
		}
		request := httptest.NewRequest(http.MethodPost, "http://localhost/allthings.ticket.v1.TicketService/ListTickets", bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if wantStatus := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[token == ""]; answer.Code != wantStatus {
			t.Errorf("token %q: status %d, want %d", token, answer.Code, wantStatus)
		}
	})
}
