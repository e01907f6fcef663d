package rpc

import (
	"context"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	// maxEventBytes is the maximum size of an event, after decompression. A ticket that a single event makes is never too large.
	maxEventBytes = ticket.MaxBytes
	// maxQueryBytes is the maximum size of a request of TicketService. A thousand ids of the maximum length, in JSON with an escape for every
	// byte, have 1.5 MB.
	maxQueryBytes = 2 << 20
	// maxOtherBytes is the maximum size of a request for reflection, and for health checks, which need no token.
	maxOtherBytes = 4 << 10

	// maxMemoryWait is the maximum time that a call waits for memory.
	maxMemoryWait = 5 * time.Second
	// decodedElementBytes is the maximum memory of an element of a request, without its bytes, in the message and in the change that is made
	// from it.
	decodedElementBytes = 256
	// decodedEventBytes is the maximum memory of an event of a batch, without its bytes and its elements, until the call is answered.
	decodedEventBytes = 4 << 10
	// entryBytes is the maximum number of bytes that an event of a batch has on the wire in addition to its TicketCreatedRequest or
	// TicketUpdatedRequest.
	entryBytes = 16
	// firstBytes is the number of bytes of a request that are read before memory is taken for it.
	firstBytes = 512
	// gzipReaderBytes is the memory of the state of a gzip reader.
	gzipReaderBytes = 64 << 10
	// pooledBytes is the size of the pooled buffers. Most events are smaller.
	pooledBytes = 8 << 10
)

// requestLimits limits the memory of the requests to one service, each alone and all together.
//
// A request waits for memory twice: for its bytes as they arrive, and for the message into which they are decoded. Each has its own budget,
// so that a request whose bytes have arrived never waits for a request that is still being sent.
type requestLimits struct {
	// maxBytes is the maximum size of a message, after decompression.
	maxBytes int
	// upfrontBytes is the maximum part of a request's announced size for which memory is taken after its first bytes have arrived. Memory for
	// the rest is taken as its bytes arrive.
	upfrontBytes int
	bodies       *limits.Budget
	messages     *limits.Budget
}

// newEventLimits returns the limits of TicketEventService. One caller may hold half of each budget, which is enough for the largest event
// and for the largest batch of events. The gateway is trusted to send what it announces, so memory for the whole request is taken at once.
// Otherwise many large events that arrive at once would each get a part of it, and wait for each other.
func newEventLimits() *requestLimits {
	return &requestLimits{maxBytes: maxEventBytes, upfrontBytes: maxEventBytes,
		bodies: limits.NewBudget(34<<20, maxMemoryWait), messages: limits.NewBudget(46<<20, maxMemoryWait)}
}

// forBatches returns the limits of RecordTicketEvents. Its requests share the budgets of the others.
func (l requestLimits) forBatches() *requestLimits {
	l.maxBytes, l.upfrontBytes = elements.MaxBatchBytes, elements.MaxBatchBytes
	return &l
}

// newQueryLimits returns the limits of TicketService.
func newQueryLimits() *requestLimits {
	return &requestLimits{maxBytes: maxQueryBytes, upfrontBytes: 16 << 10,
		bodies: limits.NewBudget(6<<20, maxMemoryWait), messages: limits.NewBudget(16<<20, maxMemoryWait)}
}

func (b *requestBody) release() {
	b.releaseBytes()
	b.message.Release()
}

// releaseRequestMemory releases the memory of a request that is not needed any more, while its call continues.
func releaseRequestMemory(ctx context.Context) {
	if b, ok := ctx.Value(requestKey{}).(*requestBody); ok {
		b.release()
	}
}

// releaseBytes releases the memory of the request's bytes.
func (b *requestBody) releaseBytes() {
	b.data = nil
	if b.pooled != nil {
		buffers.Put(b.pooled)
		b.pooled = nil
	}
	b.bytes.Release()
}
