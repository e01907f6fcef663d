package rpc

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/sync/semaphore"
)

const (
	// maxAnswerBytes is how large all tickets are together at the most that are on their way to callers of BatchGetTickets, of those who get
	// more than freeAnswerBytes.
	maxAnswerBytes  = 2 * maxSendBytes
	freeAnswerBytes = 4 << 20
)

// errNoRoom says that other calls take all the memory that there is for large ones.
var errNoRoom = errors.New("no memory was free for a large call")

// memory bounds what the answers of all calls take together.
type memory struct {
	answers *semaphore.Weighted
}

func newMemory() *memory {
	return &memory{answers: semaphore.NewWeighted(maxAnswerBytes)}
}

// claims is what a call takes of it. It belongs to the call's goroutine.
type claims struct {
	memory  *memory
	answers int64
}

type claimsKey struct{}

// count lets calls take room for their answers.
func (m *memory) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		c := &claims{memory: m}
		defer c.release()
		next.ServeHTTP(w, request.WithContext(context.WithValue(request.Context(), claimsKey{}, c)))
	})
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

func (c *claims) release() {
	c.memory.answers.Release(c.answers)
	c.answers = 0
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
