package rpc

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

var (
	errNotGzip         = errors.New("the request is not gzip")
	errNotMessage      = errors.New("the request is not a protobuf message of its procedure's")
	errTooManyElements = fmt.Errorf("the request has more than %d elements: list entries, attributes and mask paths together", elements.Max)
	errTooManyInBatch  = fmt.Errorf("the events have more than %d elements together: list entries, attributes and mask paths;"+
		" send them in several calls", elements.MaxInBatch)
)

// decodeInterceptor is the interceptor that decodes the messages of requests to our services.
type decodeInterceptor struct{}

// WrapUnary implements [connect.Interceptor].
func (decodeInterceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if b, ok := ctx.Value(requestKey{}).(*requestBody); ok {
			if err := b.decode(ctx, request.Any()); err != nil {
				return nil, err
			}
		}
		return next(ctx, request)
	}
}

// WrapStreamingHandler implements [connect.Interceptor].
func (decodeInterceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if b, ok := ctx.Value(requestKey{}).(*requestBody); ok {
			conn = receiveHook{conn, func(message any) error { return b.decode(ctx, message) }}
		}
		return next(ctx, conn)
	}
}

// WrapStreamingClient implements [connect.Interceptor]. The service makes no calls.
func (decodeInterceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// receiveHook is a stream that passes each message that it receives to received, whose error fails the stream.
type receiveHook struct {
	connect.StreamingHandlerConn
	received func(message any) error
}

// Receive implements [connect.StreamingHandlerConn].
func (h receiveHook) Receive(message any) error {
	if err := h.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	return h.received(message)
}

// decode decodes the message of a request to one of our services.
func (b *requestBody) decode(ctx context.Context, message any) error {
	if b.err != nil {
		return b.err
	}
	m := message.(proto.Message)
	needed, err := b.measure(m)
	if err != nil {
		return err
	}
	if err := b.message.Grow(ctx, int64(len(b.data)+needed)); err != nil {
		return err
	}
	unmarshal := proto.Unmarshal
	if b.inJSON {
		unmarshal = unmarshalJSON
	}
	if err := unmarshal(b.data, m); err != nil {
		return b.malformed(m, err)
	}
	b.releaseBytes()
	return nil
}

// measure returns the memory of a message, without its bytes. It fails if the message has too many elements.
func (b *requestBody) measure(message proto.Message) (int, error) {
	if batch, ok := message.(*ticketv1.RecordTicketEventsRequest); ok {
		return b.measureBatch(batch)
	}
	count := elements.InProto
	if b.inJSON {
		count = elements.InJSON
	}
	n, err := count(b.data, message.ProtoReflect().Descriptor())
	if err != nil {
		return 0, b.malformed(message, err)
	}
	if n > elements.Max {
		return 0, invalidRequest(errTooManyElements)
	}
	return n * decodedElementBytes, nil
}

// batchEvents is the field that holds the events of a batch.
var batchEvents = (&ticketv1.RecordTicketEventsRequest{}).ProtoReflect().Descriptor().Fields().ByName("events")

// measureBatch is measure for a batch of events. It keeps the size of each event.
func (b *requestBody) measureBatch(message *ticketv1.RecordTicketEventsRequest) (int, error) {
	entries := elements.EntriesInProto
	if b.inJSON {
		entries = elements.EntriesInJSON
	}
	var err error
	if b.events, err = entries(b.data, batchEvents, elements.MaxInBatch+elements.MaxBatchEvents); err != nil {
		return 0, b.malformed(message, err)
	}
	if n := len(b.events); n == 0 || n > elements.MaxBatchEvents {
		var violations ticket.Violations
		violations.Add("events", fmt.Sprintf("must be 1 to %d", elements.MaxBatchEvents))
		return 0, violations.Err()
	}
	n := 0
	for _, event := range b.events {
		n += event.Elements
	}
	if n > elements.MaxInBatch {
		return 0, tooLarge(errTooManyInBatch)
	}
	return n*decodedElementBytes + len(b.events)*decodedEventBytes, nil
}

// checkEvent returns the error for an event of a batch that would be too large for a call of its own.
func (b *requestBody) checkEvent(i int) error {
	switch event := b.events[i]; {
	case event.Bytes > maxEventBytes+entryBytes:
		return tooManyBytes(maxEventBytes)
	case event.Elements > elements.Max:
		return invalidRequest(errTooManyElements)
	default:
		return nil
	}
}

// malformed returns the error for a request that can't be decoded because of err.
func (b *requestBody) malformed(message proto.Message, err error) error {
	if b.inJSON {
		return invalidRequest(notJSON(b.data, message, err))
	}
	return invalidRequest(errNotMessage)
}

// tooManyBytes returns the error for a request, or an event of a batch, that is larger than maxBytes.
func tooManyBytes(maxBytes int) error {
	return tooLarge(fmt.Errorf("the request is larger than %d bytes", maxBytes))
}

func tooLarge(err error) error {
	wire := connect.NewError(connect.CodeResourceExhausted, err)
	addReason(wire, "REQUEST_TOO_LARGE")
	return wire
}

// invalidRequest returns the error for a request that can't be read. err must not quote the request.
func invalidRequest(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }
