package rpc

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"
)

// maxReusedBytes is the maximum size of a buffer from an earlier response that a compressed response reuses.
const maxReusedBytes = 16 << 10

// errTooLarge is the cause of RESOURCE_EXHAUSTED for a request that is too large after it is decompressed.
var errTooLarge = errors.New("the rest is not inflated")

// boundedGzip is Connect's own compression with a limit for requests. Connect decompresses a request that is too large to its end, to
// report its size. Connect decompresses only requests for health and reflection; [requestBody] decompresses all others.
func boundedGzip(maxBytes int) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &inflater{limit: maxBytes} },
		newDeflater)
}

// deflater is gzip that does not reuse large buffers of earlier responses: Connect would hold such a buffer until the caller has read the
// response.
type deflater struct{ *gzip.Writer }

func newDeflater() connect.Compressor { return deflater{gzip.NewWriter(io.Discard)} }

// Reset implements [connect.Compressor].
func (d deflater) Reset(to io.Writer) {
	if buffer, ok := to.(*bytes.Buffer); ok && buffer.Cap() > maxReusedBytes {
		*buffer = bytes.Buffer{}
	}
	d.Writer.Reset(to)
}

// inflater decompresses at most one byte more than a request may have, and then fails. By that byte Connect knows that the request is too
// large.
type inflater struct {
	gzip.Reader
	limit, left int
}

// Reset implements [connect.Decompressor].
func (i *inflater) Reset(source io.Reader) error {
	i.left = i.limit + 1
	return i.Reader.Reset(source)
}

// Read implements [io.Reader].
func (i *inflater) Read(p []byte) (int, error) {
	if i.left == 0 {
		return 0, errTooLarge
	}
	n, err := i.Reader.Read(p[:min(len(p), i.left)])
	i.left -= n
	return n, err
}
