package rpc

import (
	"log/slog"
	"time"

	"connectrpc.com/connect"
)

// ErrorTranslator returns the service's interceptor, for a test of streams: the service has none yet that can fail.
func ErrorTranslator(log *slog.Logger) connect.Interceptor { return errorTranslator{log: log} }

// MaxCallTime is how long a unary call may take.
const MaxCallTime = maxCallTime

// Bounded returns the interceptor that gives unary calls a deadline.
func Bounded(limit time.Duration) connect.UnaryInterceptorFunc { return bounded(limit) }
