package rpc

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// pieceBytes is the maximum size of one write. A write that succeeds shows that the caller reads.
const pieceBytes = 32 << 10

// deadlineWriter ends the connection, or over HTTP/2 the call, of a caller that reads nothing for the time stall, or takes longer than the
// time total to read all. Without it a write could block forever.
type deadlineWriter struct {
	wrappedWriter
	controller *http.ResponseController
	// stall must be much longer than the time between two messages of a stream: HTTP/2 ends a stream at its deadline even if nothing is being
	// sent.
	stall time.Duration
	// total begins with the first write. 0 means no limit.
	total time.Duration

	mu sync.Mutex
	// until is the deadline. Zero if it is not set yet. last is the limit for until. Zero if there is no limit.
	until, last time.Time
	shortened   bool
}

type deadlineWriterKey struct{}

// Write implements [io.Writer].
func (w *deadlineWriter) Write(p []byte) (n int, err error) {
	for {
		w.extend()
		written, err := w.ResponseWriter.Write(p[n:min(len(p), n+pieceBytes)])
		if n += written; err != nil || n == len(p) {
			return n, err
		}
	}
}

// extend sets the deadline for the next write. The deadline moves in steps, because to set it costs as much as a small message.
func (w *deadlineWriter) extend() {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until.IsZero() && w.total > 0 {
		w.last = now.Add(w.total)
	}
	if w.shortened || w.until.Sub(now) >= w.stall {
		return
	}
	until := now.Add(w.stall + w.stall/4)
	if !w.last.IsZero() && until.After(w.last) {
		until = w.last
	}
	w.set(until)
}

// shortenAfter limits the time of the current write to rest when ctx ends. The returned function undoes this. When it returns, the response
// is not used any more.
func (w *deadlineWriter) shortenAfter(ctx context.Context, rest time.Duration) (end func()) {
	done := make(chan struct{})
	disarm := context.AfterFunc(ctx, func() {
		defer close(done)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.shortened = true
		w.set(time.Now().Add(rest))
	})
	return func() {
		if !disarm() {
			<-done
		}
	}
}

func (w *deadlineWriter) set(until time.Time) {
	if w.until.Equal(until) {
		return
	}
	w.until = until
	// It can't fail, because the connection of a server supports deadlines. net/http resets the deadline after the response is sent.
	_ = w.controller.SetWriteDeadline(until)
}

// wrappedWriter is what the writers that wrap an [http.ResponseWriter] have in common.
type wrappedWriter struct{ http.ResponseWriter }

// Flush implements [http.Flusher].
func (w wrappedWriter) Flush() {
	// The next write fails if the caller is gone.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for [http.ResponseController].
func (w wrappedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
