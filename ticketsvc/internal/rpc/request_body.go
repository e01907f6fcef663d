package rpc

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

type requestKey struct{}

// wrap reads each request, and passes it to next with a [requestBody] as body.
func (l *requestLimits) wrap(next http.Handler) http.Handler {
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

// requestBody is the body of a request to one of our services. Connect, which reads the body, gets an empty message. [decodeInterceptor]
// decodes the real message, so that a malformed message, or a lack of memory, is an error of the call. A requestBody is for one goroutine.
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
		size = int(min(max(announced, 2*firstBytes), int64(b.limits.upfrontBytes)))
	}
	if b.compressed {
		if err := b.bytes.Grow(b.ctx, gzipReaderBytes); err != nil {
			return err
		}
		reader := gzipReaders.Get().(*gzip.Reader)
		defer func() {
			_ = reader.Reset(http.NoBody) // The pool must not keep the request alive.
			gzipReaders.Put(reader)
		}()
		if err := reader.Reset(content); err != nil {
			return invalidRequest(errNotGzip)
		}
		content = gzipBody{reader}
	}
	return b.readData(content, size+1) // With one more byte, the end is found without a larger buffer.
}

// readData reads the message into data. Its first buffer has that size.
func (b *requestBody) readData(content io.Reader, size int) error {
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

// gzipReaders and buffers are reused.
var (
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	buffers     = sync.Pool{New: func() any { return new([pooledBytes]byte) }}
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

// gzipBody reads the decompressed bytes of a request. Its error does not quote the request.
type gzipBody struct{ *gzip.Reader }

// Read implements [io.Reader].
func (g gzipBody) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = invalidRequest(errNotGzip)
	}
	return n, err
}
