package rpc

import (
	"context"
	"log/slog"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/feed"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// ErrorTranslator returns the service's interceptor, for a test of streams that fail in every way.
func ErrorTranslator(log *slog.Logger) connect.Interceptor { return errorTranslator{log: log} }

// ErrSlow says that a watcher did not read for too long.
var ErrSlow = errSlow

// StreamLimits bound what a watcher that does not read can hold.
type StreamLimits struct{ Slow, Stuck, Stopping, Admission time.Duration }

// NewLimited is as [New], with other limits.
func NewLimited(store ticket.Store, log *slog.Logger, limits feed.Limits, streams StreamLimits) *Service {
	return newService(store, func(context.Context) error { return nil }, log, limits,
		streamLimits{slow: streams.Slow, stuck: streams.Stuck, stopping: streams.Stopping, admission: streams.Admission})
}

// MaxCallTime is how long a unary call may take.
const MaxCallTime = maxCallTime

// Bounded returns the interceptor that gives unary calls a deadline.
func Bounded(limit time.Duration) connect.UnaryInterceptorFunc { return bounded(limit) }

// ResumeToken returns the token of a place under a filter.
func ResumeToken(filter ticket.Filter, database ticket.DatabaseID, place feed.Place) string {
	return encodeToken(watchQuery(&filter), encodePlace(database, &place))
}
