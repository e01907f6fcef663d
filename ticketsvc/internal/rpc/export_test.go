package rpc

import (
	"log/slog"
	"time"

	"connectrpc.com/connect"
)

// ErrorTranslator returns the service's interceptor, for a test of streams that fail in every way.
func ErrorTranslator(log *slog.Logger) connect.Interceptor { return errorTranslator{log: log} }

// ErrSlow says that a watcher did not read for too long.
var ErrSlow = errSlow

// MaxCallTime is how long a unary call may take.
const MaxCallTime = maxCallTime

// Bounded returns the interceptor that gives unary calls a deadline.
func Bounded(limit time.Duration) connect.UnaryInterceptorFunc { return bounded(limit) }

// MaxBodyTime is how long a caller may take over its request.
const MaxBodyTime = maxBodyTime

// PingAfter is how long a connection may be silent before the other end is asked whether it is there, and how long its answer may take.
const PingAfter = pingAfter
