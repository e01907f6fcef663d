package rpc

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketpb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// ErrorMapper returns the service's interceptor, for a test of streams that fail with every error.
func ErrorMapper(log *slog.Logger) connect.Interceptor { return newErrorMapper(log) }

// ErrSlow is returned if a watcher did not read for too long.
var ErrSlow = errSlow

// StreamLimits limits what a caller that does not read can hold.
type StreamLimits struct{ Stall, Slow, Stuck, Stopping, Recheck, RefusalDelay time.Duration }

// NewLimited is like [New], with other limits.
func NewLimited(store ticket.Store, log *slog.Logger, limits watch.Limits, streams StreamLimits) *Service {
	return newService(store, func(context.Context) error { return nil }, log, limits,
		streamLimits{stall: streams.Stall, slow: streams.Slow, stuck: streams.Stuck, stopping: streams.Stopping,
			recheck: streams.Recheck, refusalDelay: streams.RefusalDelay})
}

// MaxCallTime is the maximum time of a unary call.
const MaxCallTime = maxCallTime

// Bounded returns the interceptor that gives unary calls a deadline.
func Bounded(limit time.Duration) connect.UnaryInterceptorFunc { return withCallTimeout(limit) }

// Token returns a valid token for a request, for a position of any bytes. In a feed the position comes after the id of the database. The
// token is empty if the request is invalid for another reason, or has no token.
func Token(request proto.Message, database ticket.DatabaseID, place []byte) string {
	switch request := request.(type) {
	case *ticketv1.ListTicketsRequest:
		if query, err := ticketpb.ToListQuery(request); err == nil {
			return encodeToken(listQuery(&query.Filter, query.Order), place)
		}
	case *ticketv1.ListTicketEventsRequest:
		return encodeToken(eventQuery(request.GetTicketId()), place)
	case *ticketv1.WatchTicketsRequest:
		if filter, err := ticketpb.ToFilter(request.GetFilter()); err == nil {
			return encodeToken(watchQuery(&filter), append(database[:], place...))
		}
	}
	return ""
}

// MaxWriteTime is the maximum time in which a caller can read a response. A caller that has read nothing for MaxStallTime and a quarter of
// that time loses the call.
const MaxWriteTime, MaxStallTime = maxWriteTime, maxStallTime

// MaxBodyTime is the maximum time in which a caller can send a request, and MaxHealthTime a health check.
const MaxBodyTime, MaxHealthTime = maxBodyTime, maxHealthTime

// PingAfter is the time after which a silent connection is checked with a ping, and the maximum time to wait for the reply.
const PingAfter = pingAfter

// WatchResponse returns a message of the feed as the contract's message.
var WatchResponse = watchResponse

// ResumeToken returns the token of a resume point with a filter.
func ResumeToken(filter ticket.Filter, database ticket.DatabaseID, place watch.ResumePoint) string {
	return encodeToken(watchQuery(&filter), encodeResumePoint(database, &place))
}

// MaxReadBytes is the maximum size of an event, and MaxQueryBytes that of a request of TicketService.
const (
	MaxReadBytes  = maxEventBytes
	MaxQueryBytes = maxQueryBytes
)

// MaxSendBytes is the maximum size of a response, and MaxTicketBytes that of a ticket in it.
const (
	MaxSendBytes   = maxSendBytes
	MaxTicketBytes = maxTicketBytes
)

// JSONBytes returns an upper bound of the size of a message in JSON.
func JSONBytes(m proto.Message) int { return jsonBytes(m.ProtoReflect()) }

// JSONCodec encodes and decodes JSON, and ProtoCodec protobuf.
var (
	JSONCodec  connect.Codec = jsonCodec("json")
	ProtoCodec connect.Codec = protoCodec()
)

// NewCompressor returns a compressor of responses.
var NewCompressor = newGzipWriter

// MaxMemoryWait is the maximum time that a call waits for memory.
const MaxMemoryWait = maxMemoryWait

// CallerOf returns the caller of the call of ctx.
var CallerOf = callerOf

// MaxReflections is the maximum number of reflection streams.
const MaxReflections = maxReflections

// MaxAdmittedReads is the maximum number of expensive reads that run or wait. MaxRunningReads returns the maximum number of those that run.
const MaxAdmittedReads = maxAdmittedReads

var MaxRunningReads = maxRunningReads

// MaxRunningCalls returns the maximum number of calls of TicketService on which the service works at once.
var MaxRunningCalls = maxRunningCalls

// MaxResponsesBytes is the maximum memory of all responses together. CallBytes is the memory that each call takes.
const MaxResponsesBytes, CallBytes = maxResponsesBytes, callBytes

// CheckTicketFits allows what fits into a response. ResponseBytes returns the memory that it takes.
var CheckTicketFits, ResponseBytes = checkTicketFits, responseBytes

// Reasons returns the reasons of all errors, each after its code.
func Reasons() []string {
	reasons := []string{"RESOURCE_EXHAUSTED REQUEST_TOO_LARGE"}
	for _, known := range codes {
		if known.reason != "" {
			reasons = append(reasons, strings.ToUpper(known.code.String())+" "+known.reason)
		}
	}
	return reasons
}
