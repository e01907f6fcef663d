package rpc

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

// maxWorkTime is the maximum time that a call waits until the service works on it.
const maxWorkTime = 10 * time.Second

// maxCallsAtWork returns the maximum number of calls of TicketService on which the service works at once. One caller may have half of them.
// It is enough to keep all processors and the database busy. With more calls, every other call would wait for a processor after all of
// these.
func maxCallsAtWork() int { return 4 * runtime.GOMAXPROCS(0) }

// work limits the number of calls on which the service works at once. So a caller that makes thousands of calls, even if they are rejected,
// leaves processors to other callers. All further calls of that caller wait, in the order in which they arrived.
type work struct {
	places *limits.Budget
	errors errorTranslator
}

func newWork(errors errorTranslator) *work {
	return &work{places: limits.NewPlaces(maxCallsAtWork(), maxWorkTime), errors: errors}
}

// errTooManyCalls is returned for a call that did not begin because the service works on the maximum number of the caller's calls.
var errTooManyCalls = errors.New("the service works on too many calls of the caller")

type workKey struct{}

// bound passes calls to next in turn. A call releases its place when its response begins, or when it waits for another resource that each
// caller has a share of: see [endWork].
//
// bound must be called after the request has been read: a request that is still being sent would hold a place. Over HTTP/2 such a request
// could even wait for the calls that wait for places: their unread requests use up the flow-control window of the connection.
func (k *work) bound(next http.Handler) http.Handler {
	writer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		ctx := request.Context()
		place, err := k.places.Take(ctx, callerOf(ctx), 1)
		if errors.Is(err, limits.ErrNoRoom) {
			err = errTooManyCalls
		}
		if err != nil {
			// A write error means that the connection is broken, so nobody can receive the error.
			_ = writer.Write(w, request, k.errors.translate(ctx, connect.Spec{}, err))
			return
		}
		defer place.Release()
		next.ServeHTTP(&workingWriter{ResponseWriter: w, place: place, answer: answerOf(ctx)},
			request.WithContext(context.WithValue(ctx, workKey{}, place)))
	})
}

// endWork releases the place of the call of ctx. The call waits, or has a share of another resource.
func endWork(ctx context.Context) { ctx.Value(workKey{}).(*limits.Grant).Release() }

// workingWriter releases the place of a call when its response begins, because the time to send the response depends on the caller.
type workingWriter struct {
	http.ResponseWriter
	place  *limits.Grant
	answer *answer
}

// Write implements [io.Writer].
func (w *workingWriter) Write(p []byte) (int, error) {
	w.place.Release()
	w.answer.begin()
	return w.ResponseWriter.Write(p)
}

// Flush implements [http.Flusher].
func (w *workingWriter) Flush() {
	// The next write fails if the caller is gone.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for [http.ResponseController].
func (w *workingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
