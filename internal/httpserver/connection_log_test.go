package httpserver_test

import (
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

// failing is a listener that fails a few times before it accepts.
type failing struct {
	net.Listener
	failures int
	cause    error
}

func (l *failing) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: os.NewSyscallError("accept4", l.cause)}
	}
	return l.Listener.Accept()
}

// A server without file descriptors logs that from time to time, serves again when there are some, and logs nothing when it stops.
func TestServer_LogAccepting(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"of the process": syscall.EMFILE, "of the machine": syscall.ENFILE} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lines strings.Builder
			s := mustListen(t, &http.Server{Handler: http.NotFoundHandler(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)})
			s.WrapListener(func(l net.Listener) net.Listener { return &failing{l, 3, cause} })
			s.LogAccepting(slog.New(slog.NewTextHandler(&lines, nil)))
			s.Start(func(err error) { t.Error(err) })
			if status, _ := get(t, "http://"+s.Addr()); status != 404 {
				t.Errorf("status %d", status)
			}
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			log := lines.String()
			for _, want := range []string{"level=ERROR", `msg="connections can't be accepted"`, "count=1", s.Addr(), "ulimit -n"} {
				if strings.Count(log, "\n") != 1 || !strings.Contains(log, want) {
					t.Errorf("the log is %q, want one line with %q", log, want)
				}
			}
		})
	}
}

// Without a log the server does the same silently.
func TestServer_acceptErrorsWithoutALog(t *testing.T) {
	t.Parallel()
	s := mustListen(t, &http.Server{Handler: http.NotFoundHandler(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)})
	s.WrapListener(func(l net.Listener) net.Listener { return &failing{l, 1, syscall.EMFILE} })
	s.Start(func(err error) { t.Error(err) })
	if status, _ := get(t, "http://"+s.Addr()); status != 404 {
		t.Errorf("status %d", status)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
