package rpc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/semaphore"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

const (
	// maxEventBytes is the size of the largest event, after decompression. The gateway's largest body, 4 MiB, can make an event of two and a
	// half times that, since texts that UTF-8 can't hold are in it twice.
	maxEventBytes = 16 << 20
	// maxQueryBytes is the same of a request for tickets. A thousand ids of the greatest length, in JSON with an escape for every byte, have
	// 1.5 MB.
	maxQueryBytes = 2 << 20
	// maxOtherBytes is the same of health checks, which strangers may call, and of reflection.
	maxOtherBytes = 64 << 10

	// smallBytes is up to which size requests are not counted: their number is limited by that of streams and connections.
	smallBytes = 64 << 10
	// maxRequestBytes is how large all requests are together at the most, of those that are larger. What they are unpacked into is some three
	// times as large.
	maxRequestBytes = 128 << 20
	// maxAnswerBytes is how large all tickets are together at the most that are on their way to callers of BatchGetTickets, of those who get
	// more than freeAnswerBytes.
	maxAnswerBytes  = 2 * maxSendBytes
	freeAnswerBytes = 4 << 20
	// maxRoomTime is how long a call waits for its turn.
	maxRoomTime = 5 * time.Second
)

// errNoRoom says that other calls take all the memory that there is for large ones.
var errNoRoom = errors.New("no memory was free for a large call")

// maxBytes returns the size of the largest request to a path.
func maxBytes(path string) int {
	switch service, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); service {
	case ticketv1connect.TicketEventServiceName:
		return maxEventBytes
	case ticketv1connect.TicketServiceName:
		return maxQueryBytes
	default:
		return maxOtherBytes
	}
}

// memory bounds what all calls take together: few bytes can be inflated into many, and many callers can ask for much at the same time.
type memory struct {
	requests, answers *semaphore.Weighted
	errors            errorTranslator
}

func newMemory(errors errorTranslator) *memory {
	return &memory{requests: semaphore.NewWeighted(maxRequestBytes), answers: semaphore.NewWeighted(maxAnswerBytes), errors: errors}
}

// claims is what a call takes of it. It belongs to the call's goroutine.
type claims struct {
	memory           *memory
	request, answers int64
}

type claimsKey struct{}

// count makes calls wait until there is room for their requests. How large a compressed one becomes shows only when it is unpacked, so it
// counts for as much as it may become; one that does not say how large it is counts so once it is not small.
func (m *memory) count(next http.Handler) http.Handler {
	writer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		limit := maxBytes(request.URL.Path)
		if limit <= smallBytes {
			next.ServeHTTP(w, request)
			return
		}
		c := &claims{memory: m}
		defer c.release()
		ctx := context.WithValue(request.Context(), claimsKey{}, c)
		request = request.WithContext(ctx)
		switch size := request.ContentLength; {
		case isCompressed(request):
			size = int64(limit)
			fallthrough
		case size > smallBytes:
			if err := c.takeRequest(ctx, min(size, int64(limit))); err != nil {
				// The connection ends where it breaks, and nobody is told.
				_ = writer.Write(w, request, m.errors.translate(ctx, connect.Spec{Procedure: procedureOf(request)}, err))
				return
			}
		case size < 0:
			request.Body = &countedBody{ReadCloser: request.Body, claims: c, ctx: ctx, limit: int64(limit)}
		}
		next.ServeHTTP(w, request)
	})
}

// procedureOf returns the path of a request where the contract has it: others can hold anything.
func procedureOf(request *http.Request) string {
	if _, known := access[request.URL.Path]; known {
		return request.URL.Path
	}
	return ""
}

// isCompressed tells whether the request says so, in the header of any of the protocols, or of a GET.
func isCompressed(request *http.Request) bool {
	for _, header := range []string{"Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"} {
		if encoding := request.Header.Get(header); encoding != "" && encoding != "identity" {
			return true
		}
	}
	return request.Method == http.MethodGet && request.URL.Query().Has("compression")
}

func (c *claims) takeRequest(ctx context.Context, bytes int64) error {
	if err := acquire(ctx, c.memory.requests, bytes); err != nil {
		return err
	}
	c.request += bytes
	return nil
}

// takeAnswer makes the call of ctx wait until there is room for an answer of that size.
func takeAnswer(ctx context.Context, bytes int64) error {
	c, ok := ctx.Value(claimsKey{}).(*claims)
	if !ok {
		return nil
	}
	if err := acquire(ctx, c.memory.answers, bytes); err != nil {
		return err
	}
	c.answers += bytes
	return nil
}

// releaseRequest gives back the room of a request that is dealt with, while its call goes on.
func releaseRequest(ctx context.Context) {
	if c, ok := ctx.Value(claimsKey{}).(*claims); ok {
		c.memory.requests.Release(c.request)
		c.request = 0
	}
}

func (c *claims) release() {
	c.memory.requests.Release(c.request)
	c.memory.answers.Release(c.answers)
	c.request, c.answers = 0, 0
}

func acquire(ctx context.Context, from *semaphore.Weighted, bytes int64) error {
	bounded, cancel := context.WithTimeout(ctx, maxRoomTime)
	defer cancel()
	switch err := from.Acquire(bounded, bytes); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return errNoRoom
	}
}

// countedBody is the body of a request that does not say how large it is.
type countedBody struct {
	io.ReadCloser
	claims *claims
	ctx    context.Context
	limit  int64
	read   int64
}

// Read implements [io.Reader].
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	before := b.read
	if b.read += int64(n); before <= smallBytes && b.read > smallBytes {
		if err := b.claims.takeRequest(b.ctx, b.limit); err != nil {
			return 0, b.claims.memory.errors.translate(b.ctx, connect.Spec{}, err)
		}
	}
	return n, err
}
