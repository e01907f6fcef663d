package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ticketbridge/ticketbridge/internal/logthrottle"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// codes maps each error to what a caller gets: the sentence, and nothing of the error's own text. The first entry that matches counts. An
// error without an entry is INTERNAL, because only a bug of the service can cause it. The sentence of an [oversizedError] is its text,
// which names the ticket.
//
// reason is the reason of a google.rpc.ErrorInfo. By it a program distinguishes the errors of one code. It never changes. docs/errors.md
// lists all reasons.
//
// retryAfter is the time that a caller should wait before it makes the same call again, sent as a google.rpc.RetryInfo. 0 means that
// waiting alone does not help, or that the caller ended the call.
var codes = []struct {
	err        error
	code       connect.Code
	reason     string
	sentence   string
	retryAfter time.Duration
}{
	{context.Canceled, connect.CodeCanceled, "", "the call was cancelled", 0},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded, "", "the call's deadline passed; what it asked for may still be done", 0},
	{ticket.ErrTooManyWaiting, connect.CodeResourceExhausted, "TOO_MANY_EVENTS",
		"too many events wait to be recorded: retry later", retrySoon},
	{ticket.ErrStopping, connect.CodeUnavailable, "SERVICE_STOPPING", "the service is stopping: retry", retrySoon},
	{ticket.ErrUnavailable, connect.CodeUnavailable, "DATABASE_UNAVAILABLE", "the database is unavailable: retry later", retryLater},
	{ticket.ErrNotFound, connect.CodeNotFound, "TICKET_NOT_FOUND", "no event of the ticket is recorded, or it was erased", 0},
	{ticket.ErrLocked, connect.CodeAborted, "TICKET_LOCKED", "another writer holds the ticket: retry later", retrySoon},
	{ticket.ErrNewerVersion, connect.CodeAborted, "TICKET_OF_NEWER_VERSION",
		"the ticket was written by a newer version of ticketsvc: call one of that version", 0},
	{ticket.ErrCorrupt, connect.CodeDataLoss, "TICKET_UNREADABLE", "what is stored of the ticket can't be read", 0},
	{errOtherDatabase, connect.CodeOutOfRange, "TOKEN_OF_ANOTHER_DATABASE",
		"the resume token is one of another database: start again without one", 0},
	{watch.ErrAheadOfLog, connect.CodeOutOfRange, "TOKEN_AHEAD_OF_LOG",
		"the event log ends before the resume token: start again without one", 0},
	{watch.ErrNotInLog, connect.CodeOutOfRange, "TOKEN_NOT_IN_LOG", "the resume token can't be served any more: start again without one", 0},
	{ticket.ErrPositionNotFound, connect.CodeOutOfRange, "POSITION_NOT_IN_LOG",
		"the log does not hold the position: list from the beginning, without one", 0},
	{watch.ErrLogReplaced, connect.CodeUnavailable, "DATABASE_REPLACED",
		"the database was replaced by another: resume with the last token", retrySoon},
	{watch.ErrTooManyWatchers, connect.CodeResourceExhausted, "TOO_MANY_WATCHERS",
		"too many watchers: watch elsewhere, or retry later", retryLater},
	{watch.ErrTooManyOfCaller, connect.CodeResourceExhausted, "TOO_MANY_WATCHERS_OF_CALLER",
		"the token has too many watchers: end some, or retry later", retryLater},
	{watch.ErrTooManyReads, connect.CodeResourceExhausted, "TOO_MANY_WATCHERS_BEGINNING",
		"too many watchers begin at once: watch elsewhere, or retry later", retryLater},
	{watch.ErrStopping, connect.CodeUnavailable, "SERVICE_STOPPING",
		"the service is stopping: resume with the last token, elsewhere or in a moment", retrySoon},
	{errOversized, connect.CodeResourceExhausted, "TICKET_LARGER_THAN_ANSWER", "", 0},
	{errTooManyReads, connect.CodeResourceExhausted, "TOO_MANY_EXPENSIVE_READS",
		"too many expensive reads at once: retry later", retrySoon},
	{errTooManyCalls, connect.CodeResourceExhausted, "TOO_MANY_CALLS", "too many calls of one token at once: retry later", retrySoon},
	{errTooManyReflections, connect.CodeResourceExhausted, "TOO_MANY_REFLECTION_STREAMS",
		"too many streams of reflection: end some, or retry later", retryLater},
	{limits.ErrInUse, connect.CodeResourceExhausted, "MEMORY_IN_USE", "too many large calls at once: retry later", retrySoon},
	{limits.ErrNeverFits, connect.CodeResourceExhausted, "CALL_TOO_LARGE",
		"the call needs more memory than one caller may have: ask for less", 0},
	{ticket.ErrTicketTooLarge, connect.CodeResourceExhausted, "TICKET_TOO_LARGE",
		fmt.Sprintf("the ticket would be larger with the event than the %d MiB that a ticket"+
			" may have: retry after later events have made it smaller", ticket.MaxBytes>>20), 0},
	{ticket.ErrTooLargeTogether, connect.CodeResourceExhausted, "ANSWER_TOO_LARGE",
		"the tickets are together larger than a response: ask for fewer at once", 0},
	{errSlow, connect.CodeResourceExhausted, "SLOW_READER",
		fmt.Sprintf("the watcher did not read for %v: resume with the last token", defaultStreamLimits.slow), retrySoon},
}

const (
	// retrySoon is for a cause that ends within a second: a full queue, a lock, a restart.
	retrySoon = time.Second
	// retryLater is for a cause that takes longer to end, such as a failover of the database.
	retryLater = 5 * time.Second
)

// errorMapper is the interceptor that maps all errors of the handlers to Connect's errors. It logs the parts that callers do not get.
type errorMapper struct {
	log    *slog.Logger
	writer *connect.ErrorWriter
	// outages throttles the log of streams, calls and events that failed because the database was unavailable. Thousands can fail at once.
	outages *logthrottle.Throttle
	// refusals throttles the log of calls that were rejected because there are too many, by error. One caller can cause any number of them.
	refusals *logthrottle.PerKey[error]
}

func newErrorMapper(log *slog.Logger) errorMapper {
	return errorMapper{log: log, writer: connect.NewErrorWriter(), outages: logthrottle.New(10 * time.Second),
		refusals: logthrottle.NewPerKey[error](time.Minute)}
}

// WrapUnary implements [connect.Interceptor].
func (e errorMapper) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, request)
		if err != nil {
			return nil, e.mapError(ctx, request.Spec(), err)
		}
		return response, nil
	}
}

// WrapStreamingHandler implements [connect.Interceptor].
func (e errorMapper) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		if err := next(ctx, stream); err != nil {
			return e.mapError(ctx, stream.Spec(), err)
		}
		return nil
	}
}

// WrapStreamingClient implements [connect.Interceptor]. The service makes no calls.
func (e errorMapper) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// write writes the response to a request that failed before it got to a handler.
func (e errorMapper) write(w http.ResponseWriter, request *http.Request, err error) {
	// A write error means that the connection is broken, so nobody can receive the error.
	_ = e.writer.Write(w, request, e.mapError(request.Context(), connect.Spec{}, err))
}

// mapError returns the error that a caller gets, and logs the rest.
func (e errorMapper) mapError(ctx context.Context, spec connect.Spec, err error) *connect.Error {
	var ready *connect.Error
	if errors.As(err, &ready) {
		return ready
	}
	var invalid *ticket.InvalidError
	if errors.As(err, &invalid) {
		return invalidArgument(invalid)
	}
	for _, known := range codes {
		if errors.Is(err, known.err) {
			sentence := known.sentence
			var oversized *oversizedError
			if errors.As(err, &oversized) {
				sentence = oversized.Error()
			}
			e.logError(ctx, spec, known.code, known.err, err)
			wire := connect.NewError(known.code, errors.New(sentence))
			addReason(wire, known.reason)
			if known.retryAfter > 0 {
				addDetail(wire, &errdetails.RetryInfo{RetryDelay: durationpb.New(known.retryAfter)})
			}
			return wire
		}
	}
	e.log.ErrorContext(ctx, "call failed", "procedure", spec.Procedure, "code", connect.CodeInternal.String(), "error", err)
	return errInternal()
}

// logError logs an error. kind is the error of the table that it matches.
func (e errorMapper) logError(ctx context.Context, spec connect.Spec, code connect.Code, kind, err error) {
	level, count := levels[code], 1
	if code == connect.CodeResourceExhausted && !errors.Is(kind, errOversized) {
		var ok bool
		if count, ok = e.refusals.Allow(kind, time.Now()); !ok {
			return
		}
	}
	if errors.Is(err, errOversized) {
		level = slog.LevelError // The error persists until somebody acts.
	}
	switch {
	case errors.Is(err, ticket.ErrUnavailable):
		var ok bool
		if count, ok = e.outages.Allow(time.Now()); !ok {
			return
		}
	case spec.StreamType == connect.StreamTypeUnary:
	case errors.Is(err, watch.ErrStopping), errors.Is(err, watch.ErrLogReplaced), code == connect.CodeDeadlineExceeded:
		// Every stream ends like this at some time, and there are thousands.
		level = slog.LevelDebug
	}
	if !e.log.Enabled(ctx, level) {
		return
	}
	attributes := []any{"procedure", spec.Procedure, "code", code.String(), "caller", string(callerOf(ctx)), "error", err}
	if count > 1 {
		attributes = append(attributes, "count", count)
	}
	e.log.Log(ctx, level, "call failed", attributes...)
}

// levels are the log levels of the codes. A code without an entry has [slog.LevelInfo].
var levels = map[connect.Code]slog.Level{
	connect.CodeAborted:           slog.LevelWarn,
	connect.CodeCanceled:          slog.LevelDebug,
	connect.CodeDeadlineExceeded:  slog.LevelWarn,
	connect.CodeNotFound:          slog.LevelDebug,
	connect.CodeResourceExhausted: slog.LevelWarn,
	connect.CodeUnavailable:       slog.LevelWarn,
	connect.CodeDataLoss:          slog.LevelError,
}

func errInternal() *connect.Error {
	return connect.NewError(connect.CodeInternal, errors.New("internal error: the log of ticketsvc has the reason"))
}

// invalidArgument returns the error for a request with violations, as text and as a google.rpc.BadRequest.
func invalidArgument(invalid *ticket.InvalidError) *connect.Error {
	wire := connect.NewError(connect.CodeInvalidArgument, invalid)
	badRequest := &errdetails.BadRequest{}
	for _, v := range invalid.Violations {
		badRequest.FieldViolations = append(badRequest.FieldViolations,
			&errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
	}
	addDetail(wire, badRequest)
	return wire
}

// errorDomain is the domain of each google.rpc.ErrorInfo.
const errorDomain = "ticketbridge"

// addReason adds a google.rpc.ErrorInfo, if there is a reason.
func addReason(wire *connect.Error, reason string) {
	if reason != "" {
		addDetail(wire, &errdetails.ErrorInfo{Reason: reason, Domain: errorDomain})
	}
}

// addDetail adds a detail to the error. It can't fail for a message of a known type. Without the detail, the caller still gets the
// sentence.
func addDetail(wire *connect.Error, message proto.Message) {
	if detail, err := connect.NewErrorDetail(message); err == nil {
		wire.AddDetail(detail)
	}
}

// recoverPanic returns a function that converts a handler's panic to an error. The function does not log the value of the panic, which can
// contain data of a ticket.
func recoverPanic(log *slog.Logger) func(context.Context, connect.Spec, http.Header, any) error {
	return func(ctx context.Context, spec connect.Spec, _ http.Header, value any) error {
		log.ErrorContext(ctx, "call panicked", "procedure", spec.Procedure, "type", fmt.Sprintf("%T", value), "stack", string(debug.Stack()))
		return errInternal()
	}
}
