package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load sends requests over a number of connections, as fast as the answers come. It speaks just as much HTTP/1.1 as it needs, because on
// one machine whatever the generator costs is taken from the server.
type load struct {
	// addresses of the servers, each of which gets its share of the connections.
	addresses []string
	// connections are kept alive, and each has one request under way at any time.
	connections int
	// stock is what is sent, each request once. When it runs out the load ends early, and the rate is of the time until then.
	stock *stock
	// warmup is for how long answers are not counted, duration for how long they are after that.
	warmup, duration time.Duration
}

// loadResult is what came of a [load].
type loadResult struct {
	// answered is how many requests got a 200, from the first to the last.
	answered int
	// counted is how many of them did in the timed part, and elapsed how long that was.
	counted int
	elapsed time.Duration
	// started is when the first request went out.
	started time.Time
}

// rate returns the counted answers a second.
func (r loadResult) rate() float64 { return float64(r.counted) / r.elapsed.Seconds() }

// answerTimeout bounds how long the last answers may take after the timed part.
const answerTimeout = 30 * time.Second

// run sends until the time is over. Any other answer than a 200 is an error, because the rate would not be that of accepted
// events.
func (l load) run(ctx context.Context) (loadResult, error) {
	l.stock.stamp(time.Now())
	connections := make([]*connection, l.connections)
	for i := range connections {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.addresses[i%len(l.addresses)])
		if err != nil {
			return loadResult{}, err
		}
		defer func() { _ = conn.Close() }()
		connections[i] = &connection{conn: conn, reader: bufio.NewReader(conn)}
	}
	result := loadResult{started: time.Now()}
	var next atomic.Int64
	group, running := errgroup.WithContext(ctx)
	for _, c := range connections {
		// The error comes up at the next read or write.
		_ = c.conn.SetDeadline(result.started.Add(l.warmup + l.duration + answerTimeout))
		defer context.AfterFunc(running, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })()
		group.Go(func() error { return c.run(l, result.started, &next) })
	}
	err := group.Wait()
	var last time.Duration
	for _, c := range connections {
		result.answered += c.answered
		result.counted += c.counted
		last = max(last, c.last)
	}
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	if err != nil {
		return result, fmt.Errorf("%d requests got a 200, but: %w", result.answered, err)
	}
	if result.elapsed = min(last, l.warmup+l.duration) - l.warmup; result.elapsed <= 0 {
		return result, fmt.Errorf("all %d requests were sent before the timed part began: prepare more requests, or shorten the warm-up",
			len(l.stock.requests))
	}
	return result, nil
}

// connection sends one request after the other. Its counts are its own, so that connections share nothing but the place in the stock.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader

	answered, counted int
	last              time.Duration // when the last answer came, counted from the start
}

func (c *connection) run(l load, started time.Time, next *atomic.Int64) error {
	end := l.warmup + l.duration
	for c.last < end {
		i := int(next.Add(1)) - 1
		if i >= len(l.stock.requests) {
			return nil
		}
		if _, err := c.conn.Write(l.stock.requests[i]); err != nil {
			return err
		}
		if err := readSuccess(c.reader); err != nil {
			return err
		}
		c.last = time.Since(started)
		c.answered++
		if c.last >= l.warmup && c.last < end {
			c.counted++
		}
	}
	return nil
}

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("content-length:")
)

// readSuccess reads an answer. Any but a 200 with a Content-Length is an error with the beginning of it.
func readSuccess(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, statusOK) {
		rest, _ := r.Peek(r.Buffered())
		return fmt.Errorf("answer %q, then %q", line, rest)
	}
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= len("\r\n") {
			break
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("answer without a Content-Length")
	}
	_, err = r.Discard(length)
	return err
}
