package httpserver_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/httpserver"
)

func mustServeAdmin(t *testing.T) *httpserver.Server {
	t.Helper()
	admin, _ := httpserver.NewAdmin(func(context.Context) error { return nil })
	s := mustListen(t, admin)
	s.Start(func(err error) { t.Error(err) })
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends a request unchanged, and returns the status of the answer.
func ask(t *testing.T, s *httpserver.Server, request string) int {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// A web page, whatever its name, can read nothing from an admin address. Probes and people can.
func TestNewAdmin_webPages(t *testing.T) {
	t.Parallel()
	s := mustServeAdmin(t)
	for name, test := range map[string]struct {
		headers string
		status  int
	}{
		"an IP address":          {"Host: 127.0.0.1:8081\r\n", 200},
		"an IP address alone":    {"Host: 127.0.0.1\r\n", 200},
		"an address of IPv6":     {"Host: [::1]:8081\r\n", 200},
		"localhost":              {"Host: localhost:8081\r\n", 200},
		"the address bar":        {"Host: localhost:8081\r\nSec-Fetch-Site: none\r\n", 200},
		"a link of its own page": {"Host: localhost:8081\r\nOrigin: http://localhost:8081\r\nSec-Fetch-Site: same-origin\r\n", 200},
		"another name":           {"Host: rebound.example:8081\r\n", 403},
		"a name like localhost":  {"Host: localhost.example\r\n", 403},
		"a page of another site": {"Host: localhost:8081\r\nSec-Fetch-Site: cross-site\r\n", 403},
		"a page of another port": {"Host: localhost:8081\r\nSec-Fetch-Site: same-site\r\n", 403},
		"another origin":         {"Host: localhost:8081\r\nOrigin: https://example.com\r\n", 403},
		"another port":           {"Host: localhost:8081\r\nOrigin: http://localhost:3000\r\n", 403},
		"a page without one":     {"Host: localhost:8081\r\nOrigin: null\r\n", 403},
		"two origins":            {"Host: localhost:8081\r\nOrigin: http://localhost:8081\r\nOrigin: http://localhost:8081\r\n", 403},
	} {
		for _, path := range []string{"/readyz", "/debug/pprof/goroutine"} {
			if status := ask(t, s, "GET "+path+" HTTP/1.1\r\n"+test.headers+"\r\n"); status != test.status {
				t.Errorf("%s, by %s: status %d, want %d", path, name, status, test.status)
			}
		}
	}
	if status := ask(t, s, "GET /readyz HTTP/1.0\r\n\r\n"); status != 200 {
		t.Errorf("a probe of HTTP/1.0 without a Host: status %d", status)
	}
}

func TestNewAdmin_profiles(t *testing.T) {
	t.Parallel()
	s := mustServeAdmin(t)
	for path, want := range map[string]int{
		"profile?seconds=61": 400, "profile?seconds=86400": 400, "profile?seconds=61&seconds=1": 400, "trace?seconds=60.001": 400,
		"trace?seconds=NaN": 400, "trace?seconds=Inf": 400, "trace?seconds=1e999": 400, "heap?seconds=61": 400, "goroutine?seconds=1e9": 400,
		"cmdline": 404, "heap": 200, "trace?seconds=0.001": 200, "goroutine?debug=1": 200, "symbol": 200, "": 200,
	} {
		if status := ask(t, s, "GET /debug/pprof/"+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
}

func TestNewAdmin_readyz(t *testing.T) {
	t.Parallel()
	var notReady error
	admin, _ := httpserver.NewAdmin(func(context.Context) error { return notReady })
	s := mustListen(t, admin)
	s.Start(func(err error) { t.Error(err) })
	expect := func(path string, wantStatus int, wantBody string) {
		t.Helper()
		if status, body := get(t, "http://"+s.Addr()+path); status != wantStatus || body != wantBody {
			t.Errorf("%s: %d %q, want %d %q", path, status, body, wantStatus, wantBody)
		}
	}
	expect("/livez", 200, "ok")
	expect("/readyz", 200, "ok")
	notReady = errors.New("the database is away")
	expect("/livez", 200, "ok")
	expect("/readyz", 503, "the database is away")
	notReady = httpserver.ErrReadOnly
	expect("/readyz", 200, "ok, but the database is read-only: reads are served, writes are not")
	if status, _ := get(t, "http://"+s.Addr()+"/debug/pprof/goroutine?debug=1"); status != 200 {
		t.Errorf("profile: status %d", status)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
