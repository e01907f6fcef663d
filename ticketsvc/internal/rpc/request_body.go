package rpc

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

const (
	// maxEventBytes is the maximum size of an event, after decompression. A ticket that a single event makes is never too large.
	maxEventBytes = ticket.MaxBytes
	// maxBatchBytes is the maximum size of a RecordTicketEvents request. maxBatchEvents is the maximum number of its events.
	maxBatchBytes, maxBatchEvents = 16 << 20, 512
	// maxQueryBytes is the maximum size of a request of TicketService. A thousand ids of the maximum length, in JSON with an escape for every
	// byte, have 1.5 MB.
	maxQueryBytes = 2 << 20
	// maxOtherBytes is the maximum size of a request for reflection, and for health checks, which need no token.
	maxOtherBytes = 4 << 10

	// maxRoomTime is the maximum time that a call waits for room.
	maxRoomTime = 5 * time.Second
	// unpackedElementBytes is the maximum memory of an element of a request, without its bytes, in the message and in the change that is made
	// from it.
	unpackedElementBytes = 256
	// unpackedEventBytes is the maximum memory of an event of a batch, without its bytes and its elements, until the call is answered.
	unpackedEventBytes = 4 << 10
	// entryBytes is the maximum number of bytes that an event of a batch has on the wire in addition to its TicketCreatedRequest or
	// TicketUpdatedRequest.
	entryBytes = 16
	// firstBytes is the number of bytes of a request that are read before room is taken for the request.
	firstBytes = 512
	// inflaterBytes is the memory of the state of an inflater.
	inflaterBytes = 64 << 10
	// pooledBytes is the size of the pooled buffers. Most events are smaller.
	pooledBytes = 8 << 10
)

// requestLimits limits the memory of the requests to one service, each alone and all together.
//
// A request waits for room twice: for its bytes as they arrive, and for the message into which they are unpacked. Each has its own budget,
// so that a request whose bytes have arrived never waits for a request that is still being sent.
type requestLimits struct {
	// maxBytes is the maximum size of a message, after decompression.
	maxBytes int
	// promisedBytes is the maximum part of a request's announced size for which room is taken after its first bytes have arrived. Room for the
	// rest is taken as its bytes arrive.
	promisedBytes int
	bodies        *limits.Budget
	messages      *limits.Budget
}

// newEventLimits returns the limits of TicketEventService. One caller may hold half of each budget, which is enough for the largest event
// and for the largest batch of events. The gateway is trusted to send what it announces, so room for the whole request is taken at once.
// Otherwise many large events that arrive at once would each get a part of the room, and wait for each other.
func newEventLimits() *requestLimits {
	return &requestLimits{maxBytes: maxEventBytes, promisedBytes: maxEventBytes,
		bodies: limits.NewBudget(34<<20, maxRoomTime), messages: limits.NewBudget(46<<20, maxRoomTime)}
}

// forBatches returns the limits of RecordTicketEvents. Its requests share the budgets of the others.
func (l requestLimits) forBatches() *requestLimits {
	l.maxBytes, l.promisedBytes = maxBatchBytes, maxBatchBytes
	return &l
}

// newQueryLimits returns the limits of TicketService.
func newQueryLimits() *requestLimits {
	return &requestLimits{maxBytes: maxQueryBytes, promisedBytes: 16 << 10,
		bodies: limits.NewBudget(6<<20, maxRoomTime), messages: limits.NewBudget(16<<20, maxRoomTime)}
}

var (
	errNotGzip         = errors.New("the request is not gzip")
	errNotMessage      = errors.New("the request is not a protobuf message of its procedure's")
	errTooManyElements = fmt.Errorf("the request has more than %d elements: list entries, attributes and mask paths together", elements.Max)
	errTooManyInBatch  = fmt.Errorf("the events have more than %d elements together: list entries, attributes and mask paths;"+
		" send them in several calls", elements.MaxInBatch)
)

type requestKey struct{}

// read passes requests to next with a [requestBody] as body.
func (l *requestLimits) read(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := callerOf(r.Context())
		b := &requestBody{ReadCloser: r.Body, limits: l, ctx: r.Context(), announced: r.ContentLength}
		// A grant of 0 bytes never fails.
		b.bytes, _ = l.bodies.Take(b.ctx, caller, 0)
		b.message, _ = l.messages.Take(b.ctx, caller, 0)
		defer b.release()
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, b))
		contentType := r.Header.Get("Content-Type")
		b.inJSON = strings.Contains(contentType, "json")
		switch {
		case r.Method == http.MethodGet:
			b.readQuery(r)
		case strings.HasPrefix(contentType, "application/grpc"):
			b.framed, b.compressed = true, r.Header.Get("Grpc-Encoding") == "gzip"
		case strings.HasPrefix(contentType, "application/connect+"):
			b.framed, b.compressed = true, r.Header.Get("Connect-Content-Encoding") == "gzip"
		default:
			b.compressed = r.Header.Get("Content-Encoding") == "gzip"
		}
		// The request is read here, because Connect would hold one of its buffers, of up to 8 MiB, while the bytes arrive.
		b.broken = b.readAll()
		r.Body = b
		next.ServeHTTP(w, r)
	})
}

// requestBody is the body of a request to one of our services. Connect, which reads the body, gets an empty message. [unpacker] unpacks the
// real message, so that a malformed message, or a lack of room, is an error of the call. A requestBody is for one goroutine.
type requestBody struct {
	io.ReadCloser
	limits         *requestLimits
	ctx            context.Context
	bytes, message *limits.Grant
	// announced is the announced size of the request in bytes, negative if it is not known.
	announced                  int64
	framed, compressed, inJSON bool

	// broken is the error because of which the request could not be read to its end.
	broken error
	// left is the part that Connect has not read yet.
	left []byte
	// data is the message. err is the reason if there is no message.
	data []byte
	err  error
	// events has the sizes of the events of a batch.
	events []elements.Entry
	// pooled is the buffer of data, if it came from the pool.
	pooled *[pooledBytes]byte
}

// readQuery reads the message of a GET from its URL, and replaces it there with an empty one for Connect.
func (b *requestBody) readQuery(r *http.Request) {
	query := r.URL.Query()
	if !query.Has("message") {
		return // Connect returns the error.
	}
	message := []byte(query.Get("message"))
	if query.Get("base64") == "1" {
		encoding := base64.URLEncoding
		if len(message)%4 != 0 {
			encoding = encoding.WithPadding(base64.NoPadding)
		}
		var err error
		if message, err = encoding.DecodeString(string(message)); err != nil {
			b.err = invalidRequest(errors.New("the message is not base64"))
		}
	}
	b.inJSON, b.compressed = strings.Contains(query.Get("encoding"), "json"), query.Get("compression") == "gzip"
	query.Set("message", "")
	url := *r.URL
	url.RawQuery = query.Encode()
	r.URL = &url
	b.announced = int64(len(message))
	b.ReadCloser = io.NopCloser(strings.NewReader(string(message)))
}

// release releases the room of the request.
func (b *requestBody) release() {
	b.releaseBytes()
	b.message.Release()
}

// releaseRequest releases the room of a request that is not needed any more, while its call continues.
func releaseRequest(ctx context.Context) {
	if b, ok := ctx.Value(requestKey{}).(*requestBody); ok {
		b.release()
	}
}

// Read implements [io.Reader]. It returns an empty message, or the error of the connection.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.broken != nil {
		return 0, b.broken
	}
	if len(b.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// readAll reads the request. It returns the error of the connection, except [io.EOF].
func (b *requestBody) readAll() error {
	source := &sourceReader{Reader: b.ReadCloser}
	if !b.framed {
		b.readMessage(source, b.announced)
		return source.err
	}
	// framedBody reports malformed frames.
	var prefix [5]byte
	for frames := 0; ; frames++ {
		if _, err := io.ReadFull(source, prefix[:]); err != nil {
			return source.err
		}
		b.left = append(b.left, make([]byte, len(prefix))...)
		if frames > 0 {
			return source.err // Connect rejects a second message.
		}
		isCompressed := prefix[0]&compressedFlag != 0
		if isCompressed && !b.compressed {
			b.err = invalidRequest(errors.New("a message is compressed, and the request does not say how"))
		}
		b.compressed = isCompressed
		length := int64(binary.BigEndian.Uint32(prefix[1:]))
		b.readMessage(io.LimitReader(source, length), length)
	}
}

// sourceReader keeps the error of its source, except [io.EOF].
type sourceReader struct {
	io.Reader
	err error
}

// Read implements [io.Reader].
func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// readMessage reads a message to its end. announced is the size of the message, negative if it is not known.
func (b *requestBody) readMessage(content io.Reader, announced int64) {
	if b.err == nil {
		b.err = b.readContent(content, announced)
	}
	if b.err != nil {
		b.releaseBytes()
	}
	// A caller over HTTP/1.1 reads no response before it has sent everything. An error is kept by the sourceReader.
	_, _ = io.Copy(io.Discard, content)
}

func (b *requestBody) readContent(content io.Reader, announced int64) error {
	var first [firstBytes]byte
	n, err := io.ReadFull(content, first[:])
	if n == 0 {
		return nil
	}
	if !b.compressed && announced > int64(b.limits.maxBytes) {
		return tooManyBytes(b.limits.maxBytes)
	}
	content = io.MultiReader(bytes.NewReader(first[:n]), content)
	size := n
	if err == nil {
		size = int(min(max(announced, 2*firstBytes), int64(b.limits.promisedBytes)))
	}
	if b.compressed {
		if err := b.bytes.Grow(b.ctx, inflaterBytes); err != nil {
			return err
		}
		inflater := inflaters.Get().(*gzip.Reader)
		defer func() {
			_ = inflater.Reset(http.NoBody) // The pool must not keep the request alive.
			inflaters.Put(inflater)
		}()
		if err := inflater.Reset(content); err != nil {
			return invalidRequest(errNotGzip)
		}
		content = gunzipped{inflater}
	}
	return b.fill(content, size+1) // With one more byte, the end is found without a larger buffer.
}

// fill reads the message. Its first buffer has that size.
func (b *requestBody) fill(content io.Reader, size int) error {
	for {
		if capacity := cap(b.data); len(b.data) == capacity {
			larger := min(max(size, 2*capacity), b.limits.maxBytes+1)
			if err := b.bytes.Grow(b.ctx, int64(larger-capacity)); err != nil {
				return err
			}
			b.data = append(b.newBuffer(larger), b.data...)
		}
		n, err := content.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case len(b.data) > b.limits.maxBytes:
			return tooManyBytes(b.limits.maxBytes)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
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

// inflaters and buffers are reused.
var (
	inflaters = sync.Pool{New: func() any { return new(gzip.Reader) }}
	buffers   = sync.Pool{New: func() any { return new([pooledBytes]byte) }}
)

// newBuffer returns an empty buffer with that capacity.
func (b *requestBody) newBuffer(size int) []byte {
	if size > pooledBytes {
		return make([]byte, 0, size)
	}
	if b.pooled == nil {
		b.pooled = buffers.Get().(*[pooledBytes]byte)
	}
	return b.pooled[:0:size]
}

// gunzipped reads the decompressed bytes of a request. Its error does not quote the request.
type gunzipped struct{ *gzip.Reader }

// Read implements [io.Reader].
func (g gunzipped) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = invalidRequest(errNotGzip)
	}
	return n, err
}

// unpack unpacks the message of a request to one of our services.
func (b *requestBody) unpack(ctx context.Context, message any) error {
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
	return n * unpackedElementBytes, nil
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
	if b.events, err = entries(b.data, batchEvents, elements.MaxInBatch+maxBatchEvents); err != nil {
		return 0, b.malformed(message, err)
	}
	if n := len(b.events); n == 0 || n > maxBatchEvents {
		var violations ticket.Violations
		violations.Add("events", fmt.Sprintf("must be 1 to %d", maxBatchEvents))
		return 0, violations.Err()
	}
	n := 0
	for _, event := range b.events {
		n += event.Elements
	}
	if n > elements.MaxInBatch {
		return 0, tooLarge(errTooManyInBatch)
	}
	return n*unpackedElementBytes + len(b.events)*unpackedEventBytes, nil
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

// releaseBytes releases the room of the request's bytes.
func (b *requestBody) releaseBytes() {
	b.data = nil
	if b.pooled != nil {
		buffers.Put(b.pooled)
		b.pooled = nil
	}
	b.bytes.Release()
}

// invalidRequest returns the error for a request that can't be read. err must not quote the request.
func invalidRequest(err error) error { return connect.NewError(connect.CodeInvalidArgument, err) }

// unpacker is the interceptor that unpacks the messages of requests to our services.
type unpacker struct{}

// WrapUnary implements [connect.Interceptor].
func (unpacker) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if b, ok := ctx.Value(requestKey{}).(*requestBody); ok {
			if err := b.unpack(ctx, request.Any()); err != nil {
				return nil, err
			}
		}
		return next(ctx, request)
	}
}

// WrapStreamingHandler implements [connect.Interceptor].
func (unpacker) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if b, ok := ctx.Value(requestKey{}).(*requestBody); ok {
			conn = unpackedConn{StreamingHandlerConn: conn, ctx: ctx, body: b}
		}
		return next(ctx, conn)
	}
}

// WrapStreamingClient implements [connect.Interceptor]. The service makes no calls.
func (unpacker) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// unpackedConn is a stream that unpacks its only request.
type unpackedConn struct {
	connect.StreamingHandlerConn
	ctx  context.Context
	body *requestBody
}

// Receive implements [connect.StreamingHandlerConn].
func (c unpackedConn) Receive(message any) error {
	if err := c.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	return c.body.unpack(c.ctx, message)
}
