package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
)

// The messages of a [connectionLog].
const (
	acceptFailed    = "connections can't be accepted"
	idleClosed      = "connections are at their limit, so those that have been idle for the longest time are closed"
	connectionsWait = "connections are at their limit and none is idle, so new ones wait"
)

// connectionLog logs why connections are not accepted. Anybody can cause these lines, so each is logged at most once a minute.
type connectionLog struct {
	// log is nil if the lines are not wanted.
	log      *slog.Logger
	throttle *logthrottle.PerKey[string]
}

// LogAccepting makes the server log, at most once a minute, that it can't accept connections, and that its connections are at their limit.
// It must be called before [Server.Start].
func (s *Server) LogAccepting(log *slog.Logger) {
	s.listener.log = connectionLog{log: log.With("address", s.Addr()), throttle: logthrottle.NewPerKey[string](time.Minute)}
}

// failed logs that accepting a connection failed. net/http retries for as long as there are too few file descriptors.
func (a connectionLog) failed(err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	attributes := []any{"error", err}
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		attributes = append(attributes, "fix", "raise the limit of open files (ulimit -n, LimitNOFILE of systemd, fs.file-max)")
	}
	a.write(slog.LevelError, acceptFailed, attributes...)
}

// atLimit logs what happens at the limit of connections.
func (a connectionLog) atLimit(message string, limit int) {
	a.write(slog.LevelWarn, message, "limit", limit,
		"fix", "raise --max-connections, or limit the connections of one client in the proxy in front")
}

func (a connectionLog) write(level slog.Level, message string, attributes ...any) {
	if a.log == nil {
		return
	}
	if count, ok := a.throttle.Allow(message, time.Now()); ok {
		a.log.Log(context.Background(), level, message, append([]any{"count", count}, attributes...)...)
	}
}
