package httpserver

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// acceptErrors logs why connections can't be accepted. net/http tries again for as long as there are too few file descriptors, and its own
// line about it is one among those that anybody can cause.
type acceptErrors struct {
	// log is nil where nobody asked for the lines.
	log      *slog.Logger
	throttle *logthrottle.Throttle
}

// LogAcceptErrors makes the server log, at most once a minute, that it can't accept connections. It must be called before [Server.Start].
func (s *Server) LogAcceptErrors(log *slog.Logger) {
	s.listener.acceptErrors = acceptErrors{log: log.With("address", s.Addr()), throttle: logthrottle.New(time.Minute)}
}

func (a acceptErrors) note(err error) {
	if a.log == nil || errors.Is(err, net.ErrClosed) {
		return
	}
	count, ok := a.throttle.Allow(time.Now())
	if !ok {
		return
	}
	attributes := []any{"count", count, "error", err}
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		attributes = append(attributes, "fix", "raise the limit of open files (ulimit -n, LimitNOFILE of systemd, fs.file-max)")
	}
	a.log.Error("connections can't be accepted", attributes...)
}
