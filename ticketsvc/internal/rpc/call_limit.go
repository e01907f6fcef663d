package rpc

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

// maxCallWait is the maximum time that a call waits for a slot.
const maxCallWait = 10 * time.Second

// maxRunningCalls returns the maximum number of calls of TicketService that run at once. One caller may have half of them. It is enough to
// keep all processors and the database busy. With more calls, every other call would wait for a processor after all of these.
func maxRunningCalls() int { return 4 * runtime.GOMAXPROCS(0) }

// errTooManyCalls is returned for a call that did not begin because the maximum number of the caller's calls run.
var errTooManyCalls = errors.New("the service works on too many calls of the caller")

type callSlotKey struct{}

// withCallLimit limits the number of calls of next that run at once. So a caller that makes thousands of calls, even if they are rejected,
// leaves processors to other callers. All further calls of that caller wait for a slot, in the order in which they arrived. A call releases
// its slot when its response begins, or when it waits for another resource that each caller has a share of: see [releaseCallSlot].
//
// It must run after the request has been read: a request that is still being sent would hold a slot. Over HTTP/2 such a request could even
// wait for the calls that wait for slots: their unread requests use up the flow-control window of the connection.
func withCallLimit(next http.Handler, mapper errorMapper) http.Handler {
	slots := limits.NewSlots(maxRunningCalls(), maxCallWait)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		ctx := request.Context()
		slot, err := slots.Take(ctx, callerOf(ctx), 1)
		if errors.Is(err, limits.ErrInUse) {
			err = errTooManyCalls
		}
		if err != nil {
			mapper.write(w, request, err)
			return
		}
		defer slot.Release()
		next.ServeHTTP(&callSlotWriter{wrappedWriter: wrappedWriter{w}, slot: slot, memory: responseMemoryOf(ctx)},
			request.WithContext(context.WithValue(ctx, callSlotKey{}, slot)))
	})
}

// releaseCallSlot releases the slot of the call of ctx. The call waits, or has a share of another resource.
func releaseCallSlot(ctx context.Context) { ctx.Value(callSlotKey{}).(*limits.Grant).Release() }

// callSlotWriter releases the slots of a call when its response begins, because the time to send the response depends on the caller.
type callSlotWriter struct {
	wrappedWriter
	slot   *limits.Grant
	memory *responseMemory
}

// Write implements [io.Writer].
func (w *callSlotWriter) Write(p []byte) (int, error) {
	w.slot.Release()
	w.memory.releaseReadSlot()
	return w.ResponseWriter.Write(p)
}
