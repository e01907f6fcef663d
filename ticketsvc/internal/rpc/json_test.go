package rpc_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// TestJSONIsWrittenIntoBuffersThatThereAre is for streams: without that each message costs memory, which Connect's pool keeps for a while.
func TestJSONIsWrittenIntoBuffersThatThereAre(t *testing.T) {
	t.Parallel()
	codec, ok := rpc.JSONCodec.(interface {
		MarshalAppend(to []byte, message any) ([]byte, error)
	})
	if !ok {
		t.Fatal("Connect gives it no buffers")
	}
	buffer := append(make([]byte, 0, 100), "before "...)
	got, err := codec.MarshalAppend(buffer, &ticketv1.Ticket{TicketId: "t"})
	if err != nil || string(got) != `before {"ticketId":"t"}` || &got[0] != &buffer[0] {
		t.Errorf("%q, %v, want that it is behind what is in the buffer", got, err)
	}
	if _, err := codec.MarshalAppend(nil, "no message"); err == nil {
		t.Error("something else than a message is written")
	}
}

// TestAConditionThatIsNotKnownSelectsNothing has filters with what this version does not know, or what is mistyped. To pass it over would
// select more than was asked for.
func TestAConditionThatIsNotKnownSelectsNothing(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	for body, place := range map[string]string{
		`{"filter": {"statuses": ["closed"]}}`:                   "line 1, character 26",
		"{\"filter\":\n {\"status\": \"TICKET_STATUS_CLOSED\"}}": "line 2, character 3",
		`{"filtr": {"unassigned": true}}`:                        "line 1, character 2",
		`{"filter": {"updatedAfter": "2026-01-01"}}`:             "line 1, character 29",
	} {
		for _, procedure := range []string{
			ticketv1connect.TicketServiceListTicketsProcedure, ticketv1connect.TicketServiceGetTicketStatsProcedure,
		} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+procedure, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			response, err := newClient(t, s, "Connect").http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || !bytes.Contains(answer, []byte("invalid_argument")) || !bytes.Contains(answer, []byte(place)) {
				t.Errorf("%s: %q, %v; want INVALID_ARGUMENT with %s", body, answer, err, place)
			}
		}
	}
	// An event of a newer gateway is taken for what is known of it.
	event := `{"event":{"eventId":"e","occurTime":"2026-01-01T00:00:00Z","newer":1},"ticket":{"ticketId":"t","newer":1},"fieldMask":"title"}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+ticketv1connect.TicketEventServiceTicketCreatedProcedure,
		strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := newClient(t, s, "Connect").http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("an event with a field that is not known: %d", response.StatusCode)
	}
}
