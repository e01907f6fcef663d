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

// maxHealthTime is how long a caller may take over a health check: strangers may begin them, and a check has a few bytes.
const maxHealthTime = 3 * time.Second

// withBodyDeadline gives the body of a request the time limit, and that of a health check maxHealthTime: net/http waits for a body for ever, and the
// deadline of a call counts from the moment at which the whole request is there. A request that takes longer ends with DEADLINE_EXCEEDED.
// So a stream of reflection, whose request goes on as long as the stream, lasts no longer than limit, whether or not its token still
// counts.
//
// withBodyDeadline also ends the connection, or over HTTP/2 the call, of a caller that takes longer than maxWriteTime to read the answer, or reads
// nothing of it for streams.stall. A caller of WatchTickets has no limit for the whole answer, and streams.stuck instead of streams.stall.
func withBodyDeadline(next http.Handler, limit time.Duration, streams streamLimits) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		controller := http.NewResponseController(w)
		if isStream(request.URL.Path) {
			// nginx would otherwise collect messages until its buffer is full, which takes hours on a quiet stream.
			w.Header().Set("X-Accel-Buffering", "no")
		}
		if request.URL.Path == ticketv1connect.TicketServiceWatchTicketsProcedure {
			paced := &pacedWriter{ResponseWriter: w, controller: controller, stall: streams.stuck}
			w, request = paced, request.WithContext(context.WithValue(request.Context(), pacedKey{}, paced))
		} else {
			paced := &pacedWriter{ResponseWriter: w, controller: controller, stall: streams.stall, most: maxWriteTime}
			// What net/http has yet to send has its deadline too.
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

// isStream tells whether the answer to a call has no end of its own.
func isStream(path string) bool {
	return path == ticketv1connect.TicketServiceWatchTicketsProcedure || path == "/"+grpchealth.HealthV1ServiceName+"/Watch" ||
		strings.HasPrefix(path, "/"+grpcreflect.ReflectV1ServiceName+"/") ||
		strings.HasPrefix(path, "/"+grpcreflect.ReflectV1AlphaServiceName+"/")
}

// timedBody is a request's body that has to come in time.
type timedBody struct {
	io.ReadCloser
	controller *http.ResponseController
	limit      time.Duration
	// endConnection keeps what is still to come of a late body from being read as the next request. Nil where frames tell them apart.
	endConnection func()
}

// Read implements [io.Reader].
//
// At the end of the body the deadline goes: on HTTP/1.1 it is that of the connection, on which net/http reads on while the call is
// answered, to notice when its caller leaves.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		_ = b.controller.SetReadDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		if b.endConnection != nil {
			b.endConnection()
		}
		err = connect.NewError(connect.CodeDeadlineExceeded, fmt.Errorf("the request took longer than %v to come", b.limit))
	}
	return n, err
}
