package rpc

import (
	"context"
	"errors"
	"net/http"

	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	// maxResponsesBytes is the memory budget of all responses together, from before they are read from the database until they are sent. Half
	// of it is enough for one of the largest responses, in JSON too.
	maxResponsesBytes = 96 << 20
	// callBytes is the memory that each call takes: its goroutine, its header, its buffers, and a response of usual size. A stream of
	// WatchTickets releases it after it is registered as a watcher, because the number of watchers has its own limit.
	callBytes = 32 << 10
	// maxUnauthenticatedBytes is like maxResponsesBytes, for the health checks of callers without a token. It is enough for 256 calls at once,
	// of which half can come from one address.
	maxUnauthenticatedBytes = 256 * callBytes
)

// maxResponseBytes is the maximum memory of a response with the largest ticket, before the response is converted to JSON. It is counted
// against the memory that one caller may hold. Each recorded ticket takes less.
const maxResponseBytes = maxResponsesBytes/2 - callBytes - maxTicketBytes

// responseBytes returns the memory that a ticket or an event takes in a response. Its bytes are there three times: as they were read from
// the database, in memory, and as they are sent. A compressed response is a fourth copy, but the bytes from the database are free by then.
func responseBytes(w ticket.Weight) int { return w.Memory() + 2*w.Bytes }

// largeResponseBytes is the size from which a response counts as an expensive read, because it takes long to read and to encode.
const largeResponseBytes = 512 << 10

// responseMemory is the memory of the response of one call.
type responseMemory struct {
	grant *limits.Grant
	// needed is the number of bytes that the call needs.
	needed int64
	// large is set if the call was denied memory for a large response because it does not run as an expensive read yet.
	large bool
	reads readLimit
	// readSlot is the slot of the call among the expensive reads until its response begins to be sent. Nil if it has none.
	readSlot *limits.Grant
}

type responseMemoryKey struct{}

// responseMemoryOf returns the memory of the response to the call of ctx, which must have passed through [withResponseMemory].
func responseMemoryOf(ctx context.Context) *responseMemory {
	return ctx.Value(responseMemoryKey{}).(*responseMemory)
}

// withResponseMemory limits the memory of all responses. It gives each call of next its [responseMemory], and releases it after the
// response is sent. Callers without a token have a budget of their own, because there can be one of them at each of many addresses.
func withResponseMemory(next http.Handler, mapper errorMapper) http.Handler {
	all, unauthenticated := limits.NewBudget(maxResponsesBytes, maxMemoryWait), limits.NewBudget(maxUnauthenticatedBytes, maxMemoryWait)
	reads := newReadLimit()
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		ctx := request.Context()
		budget, caller := all, callerOf(ctx)
		if caller == limits.Unauthenticated {
			budget, caller = unauthenticated, addressOf(request)
		}
		grant, err := budget.Take(ctx, caller, callBytes)
		if err != nil {
			mapper.write(w, request, err)
			return
		}
		defer grant.Release()
		m := &responseMemory{grant: grant, reads: reads}
		defer m.releaseReadSlot()
		next.ServeHTTP(w, request.WithContext(context.WithValue(ctx, responseMemoryKey{}, m)))
	})
}

// checkTicketFits is the [ticket.MemoryBudget] that allows each ticket, and each event, that fits into a response.
func checkTicketFits(ticketID string, w ticket.Weight) error {
	if w.Bytes > maxTicketBytes || responseBytes(w) > maxResponseBytes {
		return &oversizedError{ticketID: ticketID}
	}
	return nil
}

// reserve is the [ticket.MemoryBudget] of the response.
func (m *responseMemory) reserve(ticketID string, w ticket.Weight) error {
	if err := checkTicketFits(ticketID, w); err != nil {
		return err
	}
	m.needed += int64(responseBytes(w))
	if m.needed >= largeResponseBytes && m.readSlot == nil {
		m.large = true
		return limits.ErrInUse
	}
	if more := m.needed - m.grant.Bytes(); more > 0 && !m.grant.TryGrow(more) {
		return limits.ErrInUse
	}
	return nil
}

// releaseReadSlot releases the slot among the expensive reads. It is called if the response begins to be sent, the call waits, or there is
// no response.
func (m *responseMemory) releaseReadSlot() {
	if m.readSlot != nil {
		m.readSlot.Release()
		m.readSlot = nil
	}
}

// read calls f, which reads the database with [responseMemory.reserve], until there is memory for the result. While read waits for memory,
// it holds no connection of the database. A read that is expensive, or has a large response, also waits for a slot. Errors:
// [errTooManyReads]; those of [limits.Grant.Grow]; those of f.
func (m *responseMemory) read(ctx context.Context, expensive bool, f func() error) error {
	if expensive {
		admitted, ok := m.reads.admitted.TryTake(callerOf(ctx), 1)
		if !ok {
			return errTooManyReads
		}
		defer admitted.Release()
	}
	for {
		if expensive && m.readSlot == nil {
			releaseCallSlot(ctx)
			slot, err := m.reads.running.Take(ctx, callerOf(ctx), 1)
			if errors.Is(err, limits.ErrInUse) {
				return errTooManyReads
			}
			if err != nil {
				return err
			}
			m.readSlot = slot
		}
		m.needed, m.large = 0, false
		err := f()
		switch {
		case m.large && err == nil, m.large && errors.Is(err, limits.ErrInUse): // A page that lacks memory ends early, without an error.
			expensive = true
		case !errors.Is(err, limits.ErrInUse):
			return err
		}
		m.releaseReadSlot() // Other reads of the caller can run while this one waits for memory.
		if err := m.grant.Grow(ctx, m.needed-m.grant.Bytes()); err != nil {
			return err
		}
	}
}

// check returns nil if the response can be sent and there is memory for its conversion to JSON, which [responseMemory.reserve] does not
// count. tickets are those of the response. Errors: those of [checkSize] and [limits.Grant.Grow].
func (m *responseMemory) check(ctx context.Context, response proto.Message, tickets ...*ticketv1.Ticket) error {
	if err := checkSize(ctx, tickets...); err != nil || !respondsInJSON(ctx) {
		return err
	}
	return m.grant.Grow(ctx, int64(jsonBytes(response.ProtoReflect())))
}
