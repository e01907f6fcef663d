package rpc

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// pieceBytes is how much is written at once: that so much was written shows that the caller reads.
const pieceBytes = 32 << 10

// pacedWriter ends the connection, or over HTTP/2 the call, of a caller that reads nothing for the time stall, or takes longer than most to
// read all. Without that a write would never return.
type pacedWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
	// stall is much longer than a stream is silent: HTTP/2 ends a stream at its deadline, whether or not anything is being sent.
	stall time.Duration
	// most counts from the first write on. 0 means that there is no such limit.
	most time.Duration

	mu sync.Mutex
	// until is the deadline, and last the latest that it may become. Zero means that they were not set yet, or that there is no latest.
	until, last time.Time
	shortened   bool
}

type pacedKey struct{}

// Write implements [io.Writer].
func (w *pacedWriter) Write(p []byte) (n int, err error) {
	for {
		w.renew()
		written, err := w.ResponseWriter.Write(p[n:min(len(p), n+pieceBytes)])
		if n += written; err != nil || n == len(p) {
			return n, err
		}
	}
}

// Flush implements [http.Flusher].
func (w *pacedWriter) Flush() {
	// A caller that is gone is noticed by the next write.
	_ = w.controller.Flush()
}

// Unwrap is for [http.ResponseController].
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// renew gives what is written next its time. The deadline moves in steps, since each costs as much as a small message.
func (w *pacedWriter) renew() {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until.IsZero() && w.most > 0 {
		w.last = now.Add(w.most)
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

// shortenAfter makes ctx's end leave what is being written no more than a time. The function that it returns ends that, and returns once
// the response is not touched any more.
func (w *pacedWriter) shortenAfter(ctx context.Context, rest time.Duration) (end func()) {
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

func (w *pacedWriter) set(until time.Time) {
	if w.until.Equal(until) {
		return
	}
	w.until = until
	// A server's connection takes deadlines, so it can't fail. net/http takes it back once the answer is sent.
	_ = w.controller.SetWriteDeadline(until)
}
