package httpserver

import (
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// stuckGrace is how long, while a server stops, the other end of a connection may take nothing of what is written to it.
	stuckGrace = 2 * time.Second
	// writeChunk is how much is written at once. To take less than that in stuckGrace counts as taking nothing.
	writeChunk = 16 << 10
)

// listener accepts connections of which it knows how long they are stuck.
type listener struct {
	net.Listener
	acceptErrors acceptErrors

	mu   sync.Mutex
	open map[*conn]struct{}
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		l.acceptErrors.note(err)
		return nil, err
	}
	c := &conn{Conn: accepted, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	return c, nil
}

// closeStuck closes, until ended is closed, the connections that are stuck.
func (l *listener) closeStuck(ended <-chan struct{}) {
	ticker := time.NewTicker(stuckGrace / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
		}
		l.mu.Lock()
		open := slices.Collect(maps.Keys(l.open))
		l.mu.Unlock()
		for _, c := range open {
			if c.isStuck() {
				_ = c.Close()
			}
		}
	}
}

// conn is a connection that knows since when a write has been waiting for its other end.
type conn struct {
	net.Conn
	listener *listener

	mu sync.Mutex
	// waiting is when the write at hand began. Zero without one.
	waiting time.Time
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (n int, err error) {
	defer c.wait(time.Time{})
	for {
		c.wait(time.Now())
		written, err := c.Conn.Write(p[n:min(n+writeChunk, len(p))])
		n += written
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

func (c *conn) wait(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = since
}

func (c *conn) isStuck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.waiting.IsZero() && time.Since(c.waiting) > stuckGrace
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
