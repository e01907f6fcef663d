package httpserver_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/httpserver"
)

// memoryListener accepts connections in memory, so that a test can have its own clock.
type memoryListener struct {
	address  net.Addr
	incoming chan net.Conn
	closed   chan struct{}
	close    func()
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Addr() net.Addr { return l.address }

func (l *memoryListener) Close() error {
	l.close()
	return nil
}

// limited is a server in memory with a limit of connections. Its path /slow answers after goOn is closed.
type limited struct {
	server   *httpserver.Server
	listener *memoryListener
	goOn     chan struct{}
	stop     func() error
	log      lockedLog
}

func mustLimit(t *testing.T, limit int) *limited {
	t.Helper()
	s := &limited{goOn: make(chan struct{})}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.server = mustListen(t, &http.Server{ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 10 * time.Minute, Protocols: protocols,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-s.goOn
			}
			_, _ = io.WriteString(w, "whole")
		})})
	s.server.WrapListener(func(l net.Listener) net.Listener {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		closed := make(chan struct{})
		s.listener = &memoryListener{l.Addr(), make(chan net.Conn), closed, sync.OnceFunc(func() { close(closed) })}
		return s.listener
	})
	s.server.LimitConnections(limit)
	s.server.LogAccepting(slog.New(slog.NewTextHandler(&s.log, nil)))
	s.server.Start(func(err error) { t.Error(err) })
	s.stop = sync.OnceValue(func() error { return s.server.Stop(context.Background()) })
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// dial opens a connection, and returns after it is accepted, or waits in the queue.
func (s *limited) dial(t *testing.T) net.Conn {
	t.Helper()
	c := s.connect(t)
	synctest.Wait()
	return c
}

// connect opens a connection, which waits in a queue like that of the system until it is accepted.
func (s *limited) connect(t *testing.T) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close() })
	go func() {
		select {
		case s.listener.incoming <- theirs:
		case <-s.listener.closed:
			_ = theirs.Close()
		}
	}()
	return ours
}

// send writes without waiting for a reader.
func send(c net.Conn, text string) {
	go func() { _, _ = io.WriteString(c, text) }()
	synctest.Wait()
}

// answer returns the body of the next answer on a connection, or the error.
func answer(c net.Conn) (string, error) {
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// isOpen reports whether the server has not closed a connection on which it sends nothing.
func isOpen(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now())
	_, err := c.Read(make([]byte, 1))
	_ = c.SetReadDeadline(time.Time{})
	return !errors.Is(err, io.EOF)
}

const get1, getSlow = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"

// An idle connection is closed for a good caller, whatever the idle one has sent. The connection that has been idle for the longest time is
// closed first.
func TestServer_LimitConnections_idleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{
		"nothing": "", "half a header": "GET / HTTP/1.1\r\nHo", "a request": get1, "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := mustLimit(t, 3)
				idle := []net.Conn{s.dial(t), s.dial(t), s.dial(t)}
				for _, c := range idle {
					send(c, sent)
					if sent == get1 {
						if body, err := answer(c); body != "whole" {
							t.Fatalf("answer %q, %v", body, err)
						}
					}
					time.Sleep(time.Millisecond)
				}
				if sent == "" || sent == get1 {
					// After a request the first idle connection is the last one to be closed.
					send(idle[0], get1)
					if body, err := answer(idle[0]); body != "whole" {
						t.Fatalf("answer %q, %v", body, err)
					}
					idle = append(idle[1:], idle[0])
				}
				time.Sleep(time.Second)
				for good := range 2 {
					c := s.dial(t)
					send(c, get1)
					if body, err := answer(c); body != "whole" {
						t.Errorf("good caller %d: answer %q, %v", good, body, err)
					}
				}
				for i, c := range idle {
					// The frames that the HTTP/2 server sends to an idle connection would disturb the check.
					if open := isOpen(c); open != (i == 2) && !strings.HasPrefix(sent, "PRI") {
						t.Errorf("idle connection %d is open: %v", i, open)
					}
				}
				lines := s.log.take()
				for _, want := range []string{"level=WARN", "idle for the longest time", "count=1", "limit=3", "--max-connections", "address="} {
					if strings.Count(lines, "\n") != 1 || !strings.Contains(lines, want) {
						t.Errorf("the log is %q, want one line with %q", lines, want)
					}
				}
			})
		})
	}
}

// A connection with a request in progress is never closed for a new one. The new one waits until a connection ends or has been idle for a
// second.
func TestServer_LimitConnections_requestsInProgressStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := mustLimit(t, 2)
		busy := []net.Conn{s.dial(t), s.dial(t)}
		for _, c := range busy {
			send(c, getSlow)
		}
		waiting := s.dial(t)
		send(waiting, get1)
		answered := make(chan string, 1)
		go func() {
			body, _ := answer(waiting)
			answered <- body
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(answered) > 0 {
			t.Error("a third connection is served while two have a request in progress")
		}
		if lines := s.log.take(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, "new ones wait") {
			t.Errorf("the log is %q, want one line", lines)
		}
		close(s.goOn)
		for i, c := range busy {
			if body, err := answer(c); body != "whole" {
				t.Errorf("request %d in progress: answer %q, %v", i, body, err)
			}
		}
		began := time.Now()
		if body := <-answered; body != "whole" {
			t.Errorf("who waited got %q", body)
		}
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("it was accepted %v after the others were idle, want at most 1s", waited)
		}
	})
}

// An HTTP/2 connection has a request in progress as long as one of its streams has.
func TestServer_LimitConnections_streams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := mustLimit(t, 1)
		transport := &http.Transport{Protocols: &http.Protocols{}, DialContext: func(context.Context, string, string) (net.Conn, error) {
			return s.connect(t), nil
		}}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		get := func(path string) string {
			response, err := (&http.Client{Transport: transport}).Get("http://" + s.server.Addr() + path)
			if err != nil {
				return err.Error()
			}
			defer func() { _ = response.Body.Close() }()
			body, _ := io.ReadAll(response.Body)
			return string(body)
		}
		slow := make(chan string)
		go func() { slow <- get("/slow") }()
		synctest.Wait()
		if body := get("/"); body != "whole" {
			t.Errorf("the second stream got %q", body)
		}
		time.Sleep(time.Minute)
		waiting := s.dial(t)
		send(waiting, get1)
		time.Sleep(time.Minute)
		close(s.goOn)
		if body := <-slow; body != "whole" {
			t.Errorf("the stream in progress got %q", body)
		}
		if body, err := answer(waiting); body != "whole" {
			t.Errorf("who waited got %q, %v", body, err)
		}
	})
}

// A caller that leaves frees its connection at once, and a stop does not wait for connections that wait.
func TestServer_LimitConnections_leavingAndStopping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := mustLimit(t, 1)
		first := s.dial(t)
		second := s.dial(t)
		send(second, get1)
		began := time.Now()
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if body, err := answer(second); body != "whole" || time.Since(began) != 0 {
			t.Errorf("answer %q, %v, after %v", body, err, time.Since(began))
		}
		send(second, getSlow)
		third := s.dial(t)
		stopped := make(chan error)
		go func() { stopped <- s.stop() }()
		if _, err := third.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("who waits when it stops gets %v", err)
		}
		close(s.goOn)
		if body, err := answer(second); body != "whole" {
			t.Errorf("the request in progress: answer %q, %v", body, err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestMaxConnections(t *testing.T) {
	t.Parallel()
	for files, want := range map[int]int{1: 1, 256: 128, 1024: 512, 16_384: 8192, 1 << 20: 8192} {
		if got := httpserver.DefaultMaxConnections(files); got != want {
			t.Errorf("with %d files: %d connections, want %d", files, got, want)
		}
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	most := int(files.Cur) - 64
	for setting, want := range map[int]int{0: httpserver.DefaultMaxConnections(int(files.Cur)), 1: 1, most: most, most + 1: 0, -1: 0} {
		got, err := httpserver.MaxConnections(setting)
		if got != want || (err == nil) != (want != 0) || err != nil && !strings.Contains(err.Error(), "ulimit -n") {
			t.Errorf("MaxConnections(%d) = %d, %v; want %d", setting, got, err, want)
		}
	}
}
