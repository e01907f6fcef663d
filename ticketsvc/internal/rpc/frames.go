package rpc

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

var (
	errFrameFlags = connect.NewError(connect.CodeInvalidArgument, errors.New("the request has a frame that is no message"))
	errFrameCut   = connect.NewError(connect.CodeInvalidArgument, errors.New("the request ends within a message"))
)

// validateFrames checks the frames in which all protocols except Connect's unary protocol send messages. A malformed frame is an error of
// the caller: INVALID_ARGUMENT. Connect itself would report INTERNAL, and repeat the content of the frame in the error.
func validateFrames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		contentType := request.Header.Get("Content-Type")
		if strings.HasPrefix(contentType, "application/grpc") || strings.HasPrefix(contentType, "application/connect+") {
			request.Body = &framedBody{ReadCloser: request.Body}
		}
		next.ServeHTTP(w, request)
	})
}

// framedBody is the body of a request that consists of frames: each is a byte with flags, the length of the message in four bytes, and the
// message.
type framedBody struct {
	io.ReadCloser
	// prefix has the first have bytes of the frame's five-byte prefix. left is the number of bytes of its message that are not read yet.
	prefix [5]byte
	have   int
	left   uint32
}

// compressedFlag is the only flag that a frame of a request may have.
const compressedFlag = 1

// Read implements [io.Reader].
func (b *framedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if b.left > 0 {
			skip := min(uint64(len(rest)), uint64(b.left))
			b.left -= uint32(skip)
			rest = rest[skip:]
			continue
		}
		copied := copy(b.prefix[b.have:], rest)
		rest = rest[copied:]
		if b.have += copied; b.prefix[0]&^compressedFlag != 0 {
			return 0, errFrameFlags
		}
		if b.have == len(b.prefix) {
			b.have, b.left = 0, binary.BigEndian.Uint32(b.prefix[1:])
		}
	}
	if err == io.EOF && (b.have > 0 || b.left > 0) {
		return 0, errFrameCut
	}
	return n, err
}
