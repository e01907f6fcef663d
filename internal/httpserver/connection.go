package httpserver

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// stuckGrace is how long, while a server stops, the other end of a connection may take nothing of what is written to it.
	stuckGrace = 2 * time.Second
	// writeChunk is the number of bytes that are written at once. A connection that takes less in stuckGrace counts as taking nothing.
	writeChunk = 16 << 10
	// idleGrace is how long a connection is left alone after it was opened, and after its last request: its first request may be on the way,
	// and its last response may not be sent yet.
	idleGrace = time.Second
)

// listener accepts connections up to a limit, and knows which of them are idle.
//
// A connection is idle while no handler runs for it. So a connection that has sent half a header is idle too. At the limit, the connection
// that has been idle for the longest time is closed for a new one. While none has been idle for idleGrace, new connections wait in the
// queue of the system.
type listener struct {
	net.Listener
	limit int
	log   connectionLog

	// freed receives when a connection has been closed.
	freed chan struct{}
	// closed is closed with the listener.
	closed  chan struct{}
	closing sync.Once
	// stopping is set if each write has a deadline, see [listener.limitWrites].
	stopping atomic.Bool

	mu   sync.Mutex
	open map[*conn]struct{}
	// idle holds the connections for which no handler runs. The first one has been idle for the longest time.
	idle list.List
}

func newListener(l net.Listener, limit int) *listener {
	return &listener{
		Listener: l, limit: limit, freed: make(chan struct{}, 1), closed: make(chan struct{}), open: map[*conn]struct{}{},
	}
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		l.log.failed(err)
		return nil, err
	}
	c := &conn{Conn: accepted, listener: l}
	if err := l.add(c); err != nil {
		_ = accepted.Close()
		return nil, err
	}
	return c, nil
}

// Close implements [net.Listener].
func (l *listener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// add returns when c can be added, or with an error if the listener is closed before.
func (l *listener) add(c *conn) error {
	for isFirst := true; ; isFirst = false {
		wait := l.tryAdd(c)
		if wait == 0 {
			return nil
		}
		if isFirst {
			l.log.atLimit(connectionsWait, l.limit)
		}
		select {
		case <-time.After(wait):
		case <-l.freed:
		case <-l.closed:
			return net.ErrClosed
		}
	}
}

// tryAdd adds c and returns 0 if there are fewer connections than the limit, or if an idle one can be closed. Otherwise it returns how long
// to wait, at most idleGrace.
func (l *listener) tryAdd(c *conn) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.limit {
		longest := l.idle.Front()
		if longest == nil {
			return idleGrace
		}
		idle := longest.Value.(*conn)
		if wait := idleGrace - time.Since(idle.idleSince); wait > 0 {
			return wait
		}
		l.log.atLimit(idleClosed, l.limit)
		l.forget(idle)
		_ = idle.Conn.Close()
	}
	l.open[c] = struct{}{}
	l.becomeIdle(c)
	return 0
}

// becomeIdle records that no handler runs for c. The caller holds the mutex.
func (l *listener) becomeIdle(c *conn) {
	c.idleSince = time.Now()
	c.element = l.idle.PushBack(c)
}

// forget removes c, if it is still there. The caller holds the mutex.
func (l *listener) forget(c *conn) {
	delete(l.open, c)
	if c.element != nil {
		l.idle.Remove(c.element)
		c.element = nil
	}
}

// closeUnused closes the connections that have had no request yet.
func (l *listener) closeUnused() {
	for _, c := range l.connections(func(c *conn) bool { return !c.used }) {
		_ = c.Close()
	}
}

// limitWrites makes a write to a connection fail after its other end has taken nothing for stuckGrace. The connection then ends.
func (l *listener) limitWrites() {
	l.stopping.Store(true)
	for _, c := range l.connections(func(*conn) bool { return true }) {
		c.limitWrite()
	}
}

// connections returns the open connections for which is returns true.
func (l *listener) connections(is func(*conn) bool) (found []*conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if is(c) {
			found = append(found, c)
		}
	}
	return found
}

// conn is a connection that knows since when it has been idle.
type conn struct {
	net.Conn
	listener *listener

	// The listener's mutex guards the fields below.

	// requests is the number of handlers that run for the connection. used is set after one has run.
	requests int
	used     bool
	// element is the connection's element of listener.idle. It is nil while a handler runs, and after the end.
	element   *list.Element
	idleSince time.Time
}

// connKey is the key of a connection's [*conn] in the context of its requests.
type connKey struct{}

// withConn is for [http.Server.ConnContext].
func withConn(ctx context.Context, c net.Conn) context.Context {
	if encrypted, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = encrypted.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

// countRequests counts the handlers that run for each connection.
func countRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		c := request.Context().Value(connKey{}).(*conn)
		c.startRequest()
		defer c.endRequest()
		next.ServeHTTP(w, request)
	})
}

func (c *conn) startRequest() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.requests++
	c.used = true
	if c.element != nil {
		c.listener.idle.Remove(c.element)
		c.element = nil
	}
}

func (c *conn) endRequest() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.requests--
	if _, open := c.listener.open[c]; open && c.requests == 0 {
		c.listener.becomeIdle(c)
	}
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (n int, err error) {
	for {
		if c.listener.stopping.Load() {
			c.limitWrite()
		}
		written, err := c.Conn.Write(p[n:min(n+writeChunk, len(p))])
		n += written
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// limitWrite sets the deadline of writes to stuckGrace from now. A closed connection can't take a deadline, and needs none.
func (c *conn) limitWrite() { _ = c.SetWriteDeadline(time.Now().Add(stuckGrace)) }

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.forget(c)
	c.listener.mu.Unlock()
	select {
	case c.listener.freed <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}
