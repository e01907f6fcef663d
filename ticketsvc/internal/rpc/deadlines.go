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

// maxHealthTime is the maximum time in which a caller can send a health check. It is short because callers without a token may send them,
// and a check has only a few bytes.
const maxHealthTime = 3 * time.Second

// withBodyDeadline sets the time limit for the body of a request. The limit of a health check is maxHealthTime. Without it net/http waits
// for a body forever, and the deadline of a call begins only after the whole request has arrived. A request that takes longer ends with
// DEADLINE_EXCEEDED. The request of a reflection stream lasts as long as the stream, so such a stream also ends after limit, even if its
// token is still valid.
//
// withBodyDeadline also ends the connection, or over HTTP/2 the call, of a caller that takes longer than maxWriteTime to read the response,
// or reads nothing of it for streams.stall. WatchTickets has no limit for the whole response, and streams.stuck instead of streams.stall.
func withBodyDeadline(next http.Handler, limit time.Duration, streams streamLimits) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		controller := http.NewResponseController(w)
		if isStream(request.URL.Path) {
			// nginx would otherwise buffer messages until its buffer is full, which takes hours on a quiet stream.
			w.Header().Set("X-Accel-Buffering", "no")
		}
		if request.URL.Path == ticketv1connect.TicketServiceWatchTicketsProcedure {
			paced := &pacedWriter{ResponseWriter: w, controller: controller, stall: streams.stuck}
			w, request = paced, request.WithContext(context.WithValue(request.Context(), pacedKey{}, paced))
		} else {
			paced := &pacedWriter{ResponseWriter: w, controller: controller, stall: streams.stall, most: maxWriteTime}
			// The part that net/http sends after the handler needs a deadline too.
			defer paced.renew()
			w = paced
		}
		limit := limit
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
