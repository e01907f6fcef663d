package rpc

import (
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"
)

// errTooLarge is what is behind RESOURCE_EXHAUSTED for a request that is too large once it is inflated.
var errTooLarge = errors.New("the rest is not inflated")

// boundedGzip is Connect's own compression, except for requests that are too large: Connect inflates them to their end, to say how large
// they are. Connect inflates only requests for health and reflection; [requestBody] inflates all others.
func boundedGzip(maxBytes int) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &inflater{limit: maxBytes} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) })
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
