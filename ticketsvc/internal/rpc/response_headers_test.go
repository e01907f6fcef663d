package rpc_test

import (
	"net/http"
	"slices"
	"testing"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// answers checks the headers of each response that passes through it, and counts the responses by status.
type answers struct {
	t     *testing.T
	next  http.RoundTripper
	count map[int]int
	// stream is set if the current calls open streams.
	stream bool
}

// RoundTrip implements [http.RoundTripper].
func (a *answers) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := a.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	a.count[response.StatusCode]++
	if got := response.Header["Cache-Control"]; !slices.Equal(got, []string{"no-store"}) {
		a.t.Errorf("%s %s: status %d with Cache-Control %q, want no-store", request.Method, request.URL.Path, response.StatusCode, got)
	}
	want := ""
	if a.stream && response.StatusCode == http.StatusOK {
		want = "no"
	}
	if got := response.Header.Get("X-Accel-Buffering"); got != want {
		a.t.Errorf("%s %s: status %d with X-Accel-Buffering %q, want %q", request.Method, request.URL.Path, response.StatusCode, got, want)
	}
	return response, nil
}

func TestServer_neitherCachedNorBuffered(t *testing.T) {
	t.Parallel()
	const page = "https://tickets.example.com"
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t), Origins: []string{page}})
	seen := map[int]int{}
	for protocol := range protocols {
		for _, token := range []string{tokens["no token"], tokens["admin"]} {
			c := newClient(t, s, protocol, connect.WithInterceptors(shows(token)))
			wrapped := &answers{t: t, next: c.http.Transport, count: seen}
			c.http = &http.Client{Transport: wrapped}
			for _, p := range append(procedures(t), procedure{path: "/nowhere", sideEffects: true}) {
				if p.bidi && protocol != "gRPC" {
					continue // HTTP/1.1 does not support streams in both directions.
				}
				wrapped.stream = (p.stream || p.bidi) && (token != "" || p.callers == nil)
				// Other tests check the result of the call.
				_ = p.call(t.Context(), c)
			}
		}
	}
	c := newClient(t, s, "Connect")
	wrapped := &answers{t: t, next: c.http.Transport, count: seen}
	for _, test := range []struct{ method, path string }{
		{http.MethodOptions, ticketv1connect.TicketServiceListTicketsProcedure},
		{http.MethodGet, ticketv1connect.TicketServiceListTicketsProcedure},
		{http.MethodGet, ticketv1connect.TicketServiceGetTicketProcedure + "?connect=v1&encoding=json&message=%7B%22ticketId%22%3A%22x%22%7D"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, s.url+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+tokens["read"])
		if test.method == http.MethodOptions {
			request.Header.Set("Origin", page)
			request.Header.Set("Access-Control-Request-Method", "POST")
		}
		response, err := wrapped.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	for _, status := range []int{200, 204, 400, 401, 404, 405} {
		if seen[status] == 0 {
			t.Errorf("no answer had status %d: %v", status, seen)
		}
	}
}
