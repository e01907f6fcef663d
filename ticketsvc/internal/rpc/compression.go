package rpc

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"
)

const (
	// compressBytes is the minimum size of a response that is compressed, for callers that accept compression. Responses to events have a few
	// bytes, and a ticket has some kilobytes: to compress these takes more time than it saves on a network between services. It took an eighth
	// of all processor time of recording events.
	compressBytes = 8 << 10
	// maxReusedBytes is the maximum size of a buffer from an earlier response that a compressed response reuses.
	maxReusedBytes = 16 << 10
)

// errTooLarge is the cause of RESOURCE_EXHAUSTED for a request that is too large after it is decompressed.
var errTooLarge = errors.New("the rest is not decompressed")

// withGzip sets the compression, with a limit for requests. Connect's own would decompress a request that is too large to its end, to
// report its size. Connect decompresses only requests for health and reflection; [requestBody] decompresses all others.
func withGzip(maxBytes int) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &gzipReader{limit: maxBytes} },
		newGzipWriter)
}

// gzipWriter is gzip that does not reuse large buffers of earlier responses: Connect would hold such a buffer until the caller has read the
// response.
type gzipWriter struct{ *gzip.Writer }

func newGzipWriter() connect.Compressor { return gzipWriter{gzip.NewWriter(io.Discard)} }

// Reset implements [connect.Compressor].
func (w gzipWriter) Reset(to io.Writer) {
	if buffer, ok := to.(*bytes.Buffer); ok && buffer.Cap() > maxReusedBytes {
		*buffer = bytes.Buffer{}
	}
	w.Writer.Reset(to)
}

// gzipReader decompresses at most one byte more than a request may have, and then fails. By that byte Connect knows that the request is too
// large.
type gzipReader struct {
	gzip.Reader
	limit, left int
}

// Reset implements [connect.Decompressor].
func (r *gzipReader) Reset(source io.Reader) error {
	r.left = r.limit + 1
	return r.Reader.Reset(source)
}

// Read implements [io.Reader].
func (r *gzipReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, errTooLarge
	}
	n, err := r.Reader.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}
