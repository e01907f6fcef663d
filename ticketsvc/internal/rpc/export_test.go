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

// ErrorTranslator returns the service's interceptor, for a test of streams that fail in every way.
func ErrorTranslator(log *slog.Logger) connect.Interceptor { return newErrorTranslator(log) }

// ErrSlow says that a watcher did not read for too long.
var ErrSlow = errSlow

// StreamLimits bound what a caller that does not read can hold.
type StreamLimits struct{ Stall, Slow, Stuck, Stopping, Admission, Refusal time.Duration }

// NewLimited is as [New], with other limits.
func NewLimited(store ticket.Store, log *slog.Logger, limits watch.Limits, streams StreamLimits) *Service {
	return newService(store, func(context.Context) error { return nil }, log, limits,
		streamLimits{stall: streams.Stall, slow: streams.Slow, stuck: streams.Stuck, stopping: streams.Stopping,
			admission: streams.Admission, refusal: streams.Refusal})
}

// MaxCallTime is how long a unary call may take.
const MaxCallTime = maxCallTime

// Bounded returns the interceptor that gives unary calls a deadline.
func Bounded(limit time.Duration) connect.UnaryInterceptorFunc { return withCallTimeout(limit) }

// Token returns a token that counts for a request, for a place of any bytes, which in a feed is behind the id of the database. It is empty
// where the request is wrong otherwise, or has no token.
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

// MaxWriteTime is how long a caller may take to read an answer. Once it has read nothing of it for MaxStallTime, and a quarter of that, it
// has lost the call.
const MaxWriteTime, MaxStallTime = maxWriteTime, maxStallTime

// MaxBodyTime is how long a caller may take over its request, and MaxHealthTime over a health check.
const MaxBodyTime, MaxHealthTime = maxBodyTime, maxHealthTime

// PingAfter is how long a connection may be silent before the other end is asked whether it is there, and how long its answer may take.
const PingAfter = pingAfter

// WatchResponse is what the feed's messages are on the wire.
var WatchResponse = watchResponse

// ResumeToken returns the token of a place under a filter.
func ResumeToken(filter ticket.Filter, database ticket.DatabaseID, place watch.ResumePoint) string {
	return encodeToken(watchQuery(&filter), encodeResumePoint(database, &place))
}

// MaxReadBytes is the size of the largest event, MaxBatchBytes that of the largest batch of events, and MaxQueryBytes that of the largest
// request for tickets. A batch has at most MaxBatchEvents.
const (
	MaxReadBytes   = maxEventBytes
	MaxBatchBytes  = maxBatchBytes
	MaxBatchEvents = maxBatchEvents
	MaxQueryBytes  = maxQueryBytes
)

// MaxSendBytes is the size of the largest response, and MaxTicketBytes that of the largest ticket in one.
const (
	MaxSendBytes   = maxSendBytes
	MaxTicketBytes = maxTicketBytes
)

// JSONBytes is how large a message is in JSON at the most.
func JSONBytes(m proto.Message) int { return jsonBytes(m.ProtoReflect()) }

// JSONCodec reads and writes JSON, and ProtoCodec protobuf.
var (
	JSONCodec  connect.Codec = jsonCodec{"json"}
	ProtoCodec connect.Codec = protoCodec{}
)

// NewCompressor returns what compresses answers.
var NewCompressor = newDeflater

// MaxRoomTime is how long a call waits for room.
const MaxRoomTime = maxRoomTime

// CallerOf returns who makes the call of ctx.
var CallerOf = callerOf

// MaxReflections is how many streams of reflection there are at most.
const MaxReflections = maxReflections

// MaxAdmittedReads is how many expensive reads there are at most, of which MaxRunningReads run.
const MaxAdmittedReads = maxAdmittedReads

var MaxRunningReads = maxRunningReads

// MaxCallsAtWork is how many calls of TicketService the service works on at once.
var MaxCallsAtWork = maxCallsAtWork

// MaxAnswersBytes is what all answers take together, and CallBytes what a call takes whatever it answers.
const MaxAnswersBytes, CallBytes = maxAnswersBytes, callBytes

// RoomForAnswer has room for what an answer can hold, and AnswerBytes is what that takes.
var RoomForAnswer, AnswerBytes = roomForAnswer, answerBytes

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
