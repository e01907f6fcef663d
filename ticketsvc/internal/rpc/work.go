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

// maxWorkTime is how long a call waits at most until the service works on it.
const maxWorkTime = 10 * time.Second

// maxCallsAtWork returns how many calls of TicketService the service works on at once, of which one caller's are a half. It is enough to
// keep all processors and the database busy. With more of them, every other call would wait for a processor after all of these.
func maxCallsAtWork() int { return 4 * runtime.GOMAXPROCS(0) }

// work bounds how many calls the service works on at once, so that a caller that makes thousands, even if they are refused, leaves
// processors to the others. All other calls of that caller wait, in the order in which they came.
type work struct {
	places *limits.Budget
	errors errorTranslator
}

func newWork(errors errorTranslator) *work {
	return &work{places: limits.NewPlaces(maxCallsAtWork(), maxWorkTime), errors: errors}
}

// errTooManyCalls says that a call is not begun, because the service works on as many of the caller's as one caller may have.
var errTooManyCalls = errors.New("the service works on too many calls of the caller")

type workKey struct{}

// bound lets calls through to next in turn. The place of a call is free for another one once its answer begins, or the call waits for
// something of which each caller has a share of its own: see [endWork].
//
// It is to be called once the request has been read: one that is still being sent would hold a place. Over HTTP/2 it may even wait for the
// requests of the calls that wait for places, which fill what a connection may have sent before it is read.
func (k *work) bound(next http.Handler) http.Handler {
	writer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		ctx := request.Context()
		place, err := k.places.Take(ctx, callerOf(ctx), 1)
		if errors.Is(err, limits.ErrNoRoom) {
			err = errTooManyCalls
		}
		if err != nil {
			// The connection ends where it breaks, and nobody is told.
			_ = writer.Write(w, request, k.errors.translate(ctx, connect.Spec{}, err))
			return
		}
		defer place.Release()
		next.ServeHTTP(&workingWriter{ResponseWriter: w, place: place, answer: answerOf(ctx)},
			request.WithContext(context.WithValue(ctx, workKey{}, place)))
	})
}

// endWork makes room for another call: that of ctx waits, or has a share of something else.
func endWork(ctx context.Context) { ctx.Value(workKey{}).(*limits.Grant).Release() }

// workingWriter ends the work on a call once its answer begins: how long that takes is up to the caller.
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
	// A caller that is gone is noticed by the next write.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for [http.ResponseController].
func (w *workingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
