package rpc_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// TestUnmarshalJSON_unknownConditions has filters with unknown or mistyped conditions. If these were ignored, the filters would
// select more than was asked for.
func TestUnmarshalJSON_unknownConditions(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	for body, want := range map[string]string{
		`{"filter": {"statuses": ["closed"]}}`: `filter.statuses[0]: "closed" is not a TicketStatus: use TICKET_STATUS_UNSPECIFIED, ` +
			`TICKET_STATUS_WAITING_FOR_AGENT, TICKET_STATUS_WAITING_FOR_CUSTOMER, TICKET_STATUS_WAITING_FOR_EXTERNAL, TICKET_STATUS_CLOSED`,
		"{\"filter\":\n {\"status\": \"TICKET_STATUS_CLOSED\"}}": `unknown field "filter.status": use statuses, appIds, categoryIds`,
		`{"filtr": {"unassigned": true}}`:                        `unknown field "filtr": use `,
		`{"filter": {"updatedAfter": "2026-01-01"}}`:             `filter.updatedAfter takes a time such as "2026-01-31T08:00:00Z"`,
		`{"filter": {"updated_after": 5}}`:                       `filter.updated_after takes a time such as`,
		`{"filter": {"text": 5}}`:                                "filter.text takes a string",
		`{"filter": {"unassigned": "yes"}}`:                      "filter.unassigned takes true or false",
		`{"filter": {"appIds": "a"}}`:                            "filter.appIds takes an array",
		`{"filter": {"appIds": ["a", {}]}}`:                      "filter.appIds[1] takes a string",
		`{"filter": {"statuses": [true]}}`:                       "filter.statuses[0] takes one of TICKET_STATUS_UNSPECIFIED",
		`{"filter": []}`:                                         "filter takes an object",
		`[]`:                                                     "the request takes an object",
		"{\"filter\":\n {\"text\": }}":                           "the request is not JSON: see line 2, character 11",
	} {
		for _, procedure := range []string{
			ticketv1connect.TicketServiceListTicketsProcedure, ticketv1connect.TicketServiceGetTicketStatsProcedure,
		} {
			expectInvalidJSON(t, s, procedure, body, want)
		}
	}
	for _, size := range []string{`1.5`, `"x"`, `3000000000`} {
		expectInvalidJSON(t, s, ticketv1connect.TicketServiceListTicketsProcedure, `{"pageSize": `+size+`}`,
			"pageSize takes a whole number from -2147483648 to 2147483647")
	}
	expectInvalidJSON(t, s, ticketv1connect.TicketServiceGetTicketProcedure, `{"ticketID": "t"}`, `unknown field "ticketID": use ticketId`)
	// Words of a tenant are not quoted.
	for body, want := range map[string]string{
		`{"ticket": {"customSettings": [{"key": "k", "attributes": {"private": 5}}]}}`: "ticket.customSettings[0].attributes{} takes a string",
		`{"ticket": {"createTime": "private"}}`:                                        "ticket.createTime takes a time",
		`{"fieldMask": ["private"]}`:                                                   "fieldMask takes a string of field names",
		`{"ticket": {"commentCount": "private"}}`:                                      "ticket.commentCount takes a whole number",
		`{"ticket": {"private": `:                                                      "the request is not JSON: see line 1, character 24",
	} {
		answer := expectInvalidJSON(t, s, ticketv1connect.TicketEventServiceTicketCreatedProcedure, body, want)
		if strings.Contains(answer, "private") {
			t.Errorf("%s: %q quotes the request", body, answer)
		}
	}
	// Unknown fields in an event of a newer gateway are ignored.
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

func expectInvalidJSON(t *testing.T, s *server, procedure, body, want string) (message string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+procedure, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := newClient(t, s, "Connect").http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct{ Code, Message string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Code != "invalid_argument" ||
		!strings.HasPrefix(answer.Message, want) {
		t.Errorf("%s: %+v, %v; want INVALID_ARGUMENT: %s", body, answer, err, want)
	}
	return answer.Message
}
