package rpc_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

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
