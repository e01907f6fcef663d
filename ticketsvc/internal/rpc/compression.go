package rpc

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"
)

// maxReusedBytes is the size of the largest buffer that a compressed answer takes over from an earlier one.
const maxReusedBytes = 16 << 10

// errTooLarge is what is behind RESOURCE_EXHAUSTED for a request that is too large once it is inflated.
var errTooLarge = errors.New("the rest is not inflated")

// boundedGzip is Connect's own compression, except for requests that are too large: Connect inflates them to their end, to say how large
// they are. Connect inflates only requests for health and reflection; [requestBody] inflates all others.
func boundedGzip(maxBytes int) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &inflater{limit: maxBytes} },
		newDeflater)
}

// deflater is gzip without the large buffers that earlier answers have left: Connect would hold one until the caller has read the answer.
type deflater struct{ *gzip.Writer }

func newDeflater() connect.Compressor { return deflater{gzip.NewWriter(io.Discard)} }

// Reset implements [connect.Compressor].
func (d deflater) Reset(to io.Writer) {
	if buffer, ok := to.(*bytes.Buffer); ok && buffer.Cap() > maxReusedBytes {
		*buffer = bytes.Buffer{}
	}
	d.Writer.Reset(to)
}

// inflater inflates one byte more than a request may have, by which Connect knows that it is too large, and then fails.
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
