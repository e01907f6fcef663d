package httpserver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/httpserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustListen(t *testing.T, server *http.Server) *httpserver.Server {
	t.Helper()
	s, err := httpserver.Listen(t.Context(), "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body))
}

func TestListen_responsesAreNotCached(t *testing.T) {
	t.Parallel()
	admin, mux := httpserver.NewAdmin(func(context.Context) error { return errors.New("the database is away") })
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) })
	s := mustListen(t, admin)
	s.Start(func(err error) { t.Error(err) })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, status := range map[string]int{"/livez": 200, "/readyz": 503, "/debug/pprof/": 200, "/error": 500, "/nowhere": 404} {
		response, err := client.Get("http://" + s.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header["Cache-Control"]; response.StatusCode != status || len(got) != 1 || got[0] != "no-store" {
			t.Errorf("%s: status %d, Cache-Control %q; want %d, no-store", path, response.StatusCode, got, status)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestServer_Stop_letsRequestsEnd(t *testing.T) {
	t.Parallel()
	arrived, goOn := make(chan struct{}), make(chan struct{})
	s := mustListen(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-goOn
		_, _ = io.WriteString(w, "whole")
	})})
	s.Start(func(err error) { t.Error(err) })
	answer := make(chan string)
	go func() {
		_, body := get(t, "http://"+s.Addr())
		answer <- body
	}()
	<-arrived
	stopped := make(chan error)
	go func() { stopped <- s.Stop(t.Context()) }()
	close(goOn)
	if body := <-answer; body != "whole" {
		t.Errorf("answer %q", body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestServer_Stop_unusedConnections(t *testing.T) {
	t.Parallel()
	s := mustListen(t, &http.Server{Handler: http.NotFoundHandler()})
	s.Start(func(err error) { t.Error(err) })
	unused, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unused.Close() })
	get(t, "http://"+s.Addr()) // connections are accepted one after the other, so the first one is accepted by now
	// net/http by itself waits for 5 s.
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestServer_Stop_cutsOffRequests(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	s := mustListen(t, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})})
	s.Start(func(err error) { t.Error(err) })
	failed := make(chan error)
	go func() {
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + s.Addr())
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	<-arrived
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Stop(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop = %v, want context.Canceled", err)
	}
	if err := <-failed; err == nil {
		t.Error("the request succeeded")
	}
}

func TestListen_wrongAddress(t *testing.T) {
	t.Parallel()
	taken := mustListen(t, &http.Server{})
	defer func() { _ = taken.Close() }()
	for _, address := range []string{taken.Addr(), "nonsense", "127.0.0.1:99999", "192.0.2.1:80"} {
		s, err := httpserver.Listen(t.Context(), address, &http.Server{})
		if err == nil {
			_ = s.Close()
			t.Errorf("listening on %s succeeded", address)
			continue
		}
		if !strings.Contains(err.Error(), address) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %q, want one line with the address", err)
		}
	}
}

// unread is a connection that is not read any more after its gate is closed.
type unread struct {
	net.Conn
	gate *sync.RWMutex
}

func (c unread) Read(p []byte) (int, error) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	return c.Conn.Read(p[:min(len(p), 512)])
}

// TestServer_Stop_connectionsThatNobodyReads has calls whose answers never end, on connections whose other end takes nothing of them.
func TestServer_Stop_connectionsThatNobodyReads(t *testing.T) {
	t.Parallel()
	for protocol, protocols := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2":   func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			transport := &http.Transport{Protocols: &http.Protocols{}}
			protocols(transport.Protocols)
			goOn := make(chan struct{})
			s := mustListen(t, &http.Server{Protocols: transport.Protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_ = http.NewResponseController(w).Flush()
				<-goOn
				for some := make([]byte, 1<<20); ; {
					if _, err := w.Write(some); err != nil {
						return
					}
				}
			})})
			s.Start(func(err error) { t.Error(err) })
			var gate sync.RWMutex
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				return unread{conn, &gate}, err
			}
			// On one HTTP/2 connection, many calls together have more to send than fits into the kernels' buffers.
			for range 16 {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr(), nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
			}
			close(goOn)
			gate.Lock()
			defer gate.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			if err := s.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}
