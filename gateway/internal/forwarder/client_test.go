package forwarder_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

func TestNewClient_boundsAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		header, body int
		fails        bool
	}{
		"small":                      {0, 0, false},
		"headers without an end":     {1 << 20, 0, true},
		"an answer without an end":   {0, 2 << 20, true},
		"as large as answers may be": {8 << 10, 1 << 20, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/proto")
				w.Header().Set("X-Large", strings.Repeat("x", test.header))
				// The unknown field 15, as often as needed.
				_, _ = w.Write([]byte(strings.Repeat("\x78\x01", test.body/2)))
			}))
			t.Cleanup(server.Close)
			client := forwarder.NewClient(server.URL, forwarder.ClientOptions{})
			if _, err := client.TicketCreated(t.Context(), &ticketv1.TicketCreatedRequest{}); (err != nil) != test.fails {
				t.Errorf("error %v, want one: %v", err, test.fails)
			}
		})
	}
}
