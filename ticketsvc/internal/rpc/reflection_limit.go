package rpc

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

// maxReflections is the maximum number of reflection streams. One caller may have half of them.
const maxReflections = 64

// errTooManyReflections is returned if the number of reflection streams is at its limit.
var errTooManyReflections = errors.New("there are too many streams of reflection")

// reflectionLimit is the interceptor that limits the number of reflection streams. If the token of a stream is no longer valid, it ends the
// stream at the next request. A stream without requests ends after the maximum time of a request.
type reflectionLimit struct {
	slots *limits.Budget
}

func newReflectionLimit() reflectionLimit {
	return reflectionLimit{slots: limits.NewSlots(maxReflections, 0)}
}

// WrapUnary implements [connect.Interceptor].
func (l reflectionLimit) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }

// WrapStreamingClient implements [connect.Interceptor]. The service makes no calls.
func (l reflectionLimit) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements [connect.Interceptor].
func (l reflectionLimit) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		slot, ok := l.slots.TryTake(callerOf(ctx), 1)
		if !ok {
			return errTooManyReflections
		}
		defer slot.Release()
		return next(ctx, receiveHook{stream, func(any) error { return checkAuthorization(ctx) }})
	}
}
