package rpc

import (
	"log/slog"

	"connectrpc.com/connect"
)

// ErrorTranslator returns the service's interceptor, for a test of streams: the service has none yet that can fail.
func ErrorTranslator(log *slog.Logger) connect.Interceptor { return errorTranslator{log: log} }
