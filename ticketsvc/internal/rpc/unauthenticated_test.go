//go:build linux

package rpc_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// TestServer_healthBesideUnauthenticated has a caller without a token that begins many health checks without their requests. Together they
// would take all the memory for responses that one caller may hold. A check from another address must be answered.
func TestServer_healthBesideUnauthenticated(t *testing.T) {
	t.Parallel()
	s := mustServeSecurely(t, mustOpenStore(t), rpc.Security{Tokens: mustCredentials(t)})
	address := strings.TrimPrefix(s.url, "http://")
	const path, contentType = "/grpc.health.v1.Health/Check", "application/json"
	for range 1600 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: "+address+"\r\nContent-Type: "+contentType+
			"\r\nContent-Length: 2\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	transport := &http.Transport{DialContext: elsewhere.DialContext}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the health check of another address has status %d", response.StatusCode)
	}
}

// TestServer_largeHeaders has requests with headers above the limits.
func TestServer_largeHeaders(t *testing.T) {
	t.Parallel()
	s := mustServe(t, mustOpenStore(t))
	for name, test := range map[string]struct {
		method, query string
		header        http.Header
		status        int
	}{
		"many fields":   {"POST", "", http.Header{"X": make([]string, 129)}, 431},
		"a large field": {"POST", "", http.Header{"X": {strings.Repeat("x", 16<<10)}}, 431},
		"a large URL":   {"POST", "?" + strings.Repeat("x", 16<<10), nil, 431},
		"a large message in GET": {"GET", "?connect=v1&encoding=json&message=%7B%22ticketId%22%3A%22t%22%7D&x=" +
			strings.Repeat("x", 32<<10), nil, 404},
		"as many as there may be": {"POST", "", http.Header{"X": make([]string, 100), "Y": {strings.Repeat("x", 8<<10)}}, 404},
	} {
		body := `{"ticketId":"t"}`
		if test.method == "GET" {
			body = ""
		}
		request, err := http.NewRequestWithContext(t.Context(), test.method, s.url+"/allthings.ticket.v1.TicketService/GetTicket"+test.query,
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if test.header != nil {
			request.Header = test.header
		}
		if body != "" {
			request.Header.Set("Content-Type", "application/json")
		}
		response, err := newClient(t, s, "Connect").http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != test.status {
			t.Errorf("%s: status %d, want %d", name, response.StatusCode, test.status)
		}
	}
}
