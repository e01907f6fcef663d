package rpc

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

// maxReflections is how many streams of reflection there are at most. One caller has a half of them.
const maxReflections = 64

// errTooManyReflections says that there are as many streams of reflection as there may be.
var errTooManyReflections = errors.New("there are too many streams of reflection")

// reflections is the interceptor that bounds the streams of reflection, and ends each whose token does not count any more when its caller
// asks for something. Streams whose callers ask for nothing end with the time that a request may take.
type reflections struct {
	places *limits.Budget
}

func newReflections() reflections { return reflections{places: limits.NewPlaces(maxReflections, 0)} }

// WrapUnary implements [connect.Interceptor].
func (r reflections) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }

// WrapStreamingClient implements [connect.Interceptor]. The service calls nobody.
func (r reflections) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements [connect.Interceptor].
func (r reflections) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		place, ok := r.places.TryTake(callerOf(ctx), 1)
		if !ok {
			return errTooManyReflections
		}
		defer place.Release()
		return next(ctx, authorizedStream{stream, ctx})
	}
}

// authorizedStream is a stream whose caller must still be let in when a message comes.
type authorizedStream struct {
	connect.StreamingHandlerConn
	ctx context.Context
}

// Receive implements [connect.StreamingHandlerConn].
func (s authorizedStream) Receive(message any) error {
	if err := s.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	return checkAuthorization(s.ctx)
}
