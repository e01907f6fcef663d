package httpserver_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

func TestAdminShowsWhetherTheServiceIsReady(t *testing.T) {
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

func TestListen_noAnswerIsKeptByACache(t *testing.T) {
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

func TestReadiness(t *testing.T) {
	t.Parallel()
	serving, stop := context.WithCancel(t.Context())
	var away error
	ready := httpserver.Readiness(serving, func(context.Context) error { return away })
	if err := ready(t.Context()); err != nil {
		t.Errorf("a service whose database answers: %v", err)
	}
	away = httpserver.ErrReadOnly
	if err := ready(t.Context()); !errors.Is(err, httpserver.ErrReadOnly) {
		t.Errorf("a service whose database is read-only: %v", err)
	}
	away = errors.New("no route to it")
	if err := ready(t.Context()); !errors.Is(err, away) || !strings.Contains(err.Error(), "the database can't be used") {
		t.Errorf("a service whose database is away: %v", err)
	}
	away = nil
	stop()
	if err := ready(t.Context()); err == nil || err.Error() != "the service is stopping" {
		t.Errorf("a service that stops: %v", err)
	}
}

func TestWatchReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var said lockedLog
		var away atomic.Pointer[error]
		ready := httpserver.Readiness(ctx, func(context.Context) error { return *away.Load() })
		away.Store(new(error))
		var watching sync.WaitGroup
		watching.Go(func() { httpserver.WatchReadiness(ctx, ready, slog.New(slog.NewTextHandler(&said, nil))) })
		for _, step := range []struct {
			away  error
			after time.Duration
			want  []string
		}{
			{nil, 5 * time.Second, nil},
			{errors.New("disk is full"), 5 * time.Second, []string{`level=ERROR msg="service is not ready"`, "disk is full"}},
			{nil, 5 * time.Second, []string{`level=INFO msg="service is ready again"`}},
			{errors.New("disk is full"), 5 * time.Second, nil},
			{nil, 5 * time.Second, nil},
			{errors.New("disk is full"), time.Minute, []string{`level=ERROR msg="service is not ready"`}},
			{nil, time.Minute, []string{`level=INFO msg="service is ready again"`}},
			{httpserver.ErrReadOnly, 5 * time.Second, []string{`level=WARN msg="service is ready for reads alone"`}},
		} {
			away.Store(&step.away)
			time.Sleep(step.after)
			synctest.Wait()
			lines := said.take()
			if strings.Count(lines, "\n") != min(1, len(step.want)) {
				t.Errorf("with %v it said %q, want %d lines", step.away, lines, min(1, len(step.want)))
			}
			for _, want := range step.want {
				if !strings.Contains(lines, want) {
					t.Errorf("with %v it said %q, want %q", step.away, lines, want)
				}
			}
		}
		away.Store(new(error))
		stop()
		watching.Wait()
		if lines := said.take(); lines != "" {
			t.Errorf("at the end it said %q, want nothing", lines)
		}
	})
}

// lockedLog is a log that several goroutines write and read.
type lockedLog struct {
	mu    sync.Mutex
	lines strings.Builder
}

// Write adds a line.
func (l *lockedLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(line)
}

// take returns the lines since the last call.
func (l *lockedLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.lines.Reset()
	return l.lines.String()
}

func TestStopLetsRequestsEnd(t *testing.T) {
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

func TestStopDoesNotWaitForConnectionsThatWereNeverUsed(t *testing.T) {
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

func TestStopCutsOffWhatDoesNotEnd(t *testing.T) {
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

func TestListenSaysWhatIsWrong(t *testing.T) {
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

func TestAddressesThatOthersReachAreNotForTheInside(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"127.0.0.1:80": "", "127.8.9.1:0": "", "[::1]:80": "", "localhost:80": "",
		"[::ffff:127.0.0.1]:80": "", ":80": "other machines", "0.0.0.0:80": "other machines", "[::]:80": "other machines",
		"LOCALHOST:80": "", "localhost.:80": "", "LocalHost.:80": "", "localhost..:80": "other machines",
		"localhost.example:80": "other machines", "127.0.0.1.:80": "other machines", "localhoſt:80": "other machines",
		"192.0.2.1:80":    "other machines",
		"example.test:80": "other machines", "127.0.0.1": "not an address", "": "not an address"} {
		for mend, says := range map[string]string{"": "no credentials yet", "set --tokens-file": "set --tokens-file, or use a loopback"} {
			err := httpserver.CheckClosed(address, "127.0.0.1:80", httpserver.Protection{Mend: mend})
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("CheckClosed(%q) = %v, want %q", address, err, want)
			}
			if want == "other machines" && !strings.Contains(err.Error(), says) {
				t.Errorf("CheckClosed(%q) = %v, want %q", address, err, says)
			}
		}
		err := httpserver.CheckClosed(address, "127.0.0.1:80", httpserver.Protection{Credentials: true})
		if (err != nil) != (want == "not an address") {
			t.Errorf("CheckClosed(%q) with credentials = %v", address, err)
		}
		if err := httpserver.CheckAddress(address, "127.0.0.1:80"); (err != nil) != (want == "not an address") {
			t.Errorf("CheckAddress(%q) = %v", address, err)
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

// TestStopDoesNotWaitForConnectionsThatNobodyReads has calls whose answers never end, on connections whose other end takes nothing of them.
func TestStopDoesNotWaitForConnectionsThatNobodyReads(t *testing.T) {
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
