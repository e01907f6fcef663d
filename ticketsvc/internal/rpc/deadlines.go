package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

const (
	// maxCallTime is the maximum time of a call, except streams, if the caller's own deadline is later or missing. A list with a filter that
	// few tickets match may have to scan all tickets.
	maxCallTime = 25 * time.Second
	// maxBodyTime is the maximum time in which a caller can send its request. It is enough for the largest request over 4 Mbit/s.
	maxBodyTime = 30 * time.Second
	// maxWriteTime is the maximum time in which a caller can read a response, except streams. It is enough for a page over 1 Mbit/s, and for
	// the largest response over 2 Mbit/s.
	maxWriteTime = time.Minute
	// maxStallTime is the maximum time for which a caller may read nothing of a response.
	maxStallTime = 10 * time.Second
	// maxHealthTime is the maximum time in which a caller can send a health check. It is short because callers without a token may send them,
	// and a check has only a few bytes.
	maxHealthTime = 3 * time.Second
)

// withCallTimeout returns the interceptor that gives unary calls a deadline, and releases the memory of their requests before they are
// answered, because callers can take long to read.
func withCallTimeout(limit time.Duration) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			defer releaseRequestMemory(ctx)
			return next(ctx, request)
		}
	}
}

// withDeadlines sets the time limits for sending a request, and for reading its response.
//
// A request must arrive within bodyLimit, and a health check within maxHealthTime. Otherwise it ends with DEADLINE_EXCEEDED. Without a
// limit net/http waits for a body forever, and the deadline of a call begins only after the whole request has arrived. The request of a
// reflection stream lasts as long as the stream, so such a stream also ends after bodyLimit, even if its token is still valid.
//
// If a caller takes longer than maxWriteTime to read the response, or reads nothing of it for streams.stall, the connection ends, or over
// HTTP/2 the call. WatchTickets has no limit for the whole response, and streams.stuck instead of streams.stall.
func withDeadlines(next http.Handler, bodyLimit time.Duration, streams streamLimits) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		controller := http.NewResponseController(w)
		if isStream(request.URL.Path) {
			// nginx would otherwise buffer messages until its buffer is full, which takes hours on a quiet stream.
			w.Header().Set("X-Accel-Buffering", "no")
		}
		if request.URL.Path == ticketv1connect.TicketServiceWatchTicketsProcedure {
			writer := &deadlineWriter{wrappedWriter: wrappedWriter{w}, controller: controller, stall: streams.stuck}
			w, request = writer, request.WithContext(context.WithValue(request.Context(), deadlineWriterKey{}, writer))
		} else {
			writer := &deadlineWriter{wrappedWriter: wrappedWriter{w}, controller: controller, stall: streams.stall, total: maxWriteTime}
			// The part that net/http sends after the handler needs a deadline too.
			defer writer.extend()
			w = writer
		}
		limit := bodyLimit
		if strings.HasPrefix(request.URL.Path, "/"+grpchealth.HealthV1ServiceName+"/") {
			limit = maxHealthTime
		}
		if request.Body != http.NoBody {
			body := &timedBody{ReadCloser: request.Body, controller: controller, limit: limit}
			_ = body.controller.SetReadDeadline(time.Now().Add(limit))
			if request.ProtoMajor == 1 {
				body.endConnection = func() { w.Header().Set("Connection", "close") }
			}
			request.Body = body
		}
		next.ServeHTTP(w, request)
	})
}

// isStream reports whether the response to a call has no end of its own.
func isStream(path string) bool {
	return path == ticketv1connect.TicketServiceWatchTicketsProcedure || path == "/"+grpchealth.HealthV1ServiceName+"/Watch" ||
		strings.HasPrefix(path, "/"+grpcreflect.ReflectV1ServiceName+"/") ||
		strings.HasPrefix(path, "/"+grpcreflect.ReflectV1AlphaServiceName+"/")
}

// timedBody is the body of a request with a time limit.
type timedBody struct {
	io.ReadCloser
	controller *http.ResponseController
	limit      time.Duration
	// endConnection prevents that the rest of a late body is read as the next request. Nil over HTTP/2, where frames separate them.
	endConnection func()
}

// Read implements [io.Reader].
//
// At the end of the body it removes the deadline. On HTTP/1.1 the deadline is that of the connection, from which net/http reads on while
// the call runs, to notice if its caller disconnects.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		_ = b.controller.SetReadDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		if b.endConnection != nil {
			b.endConnection()
		}
		err = connect.NewError(connect.CodeDeadlineExceeded, fmt.Errorf("the request took longer than %v to come", b.limit))
	}
	return n, err
}
