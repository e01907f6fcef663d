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

// load sends requests over several connections, on each the next request as soon as the last one is answered. It implements only the needed
// part of HTTP/1.1, because on one machine the cost of the load generator reduces the rate of the server.
type load struct {
	// addresses are the addresses of the servers. The connections are spread over them evenly.
	addresses []string
	// connections is the number of connections. Each stays open, and has one request in flight at any time.
	connections int
	// requests are sent once each. If all are sent before the time is over, the load ends early, and the rate is that of the time until then.
	requests *requests
	// warmup is the time at the beginning in which answers are not counted. duration is the time after it, in which they are counted.
	warmup, duration time.Duration
}

// loadResult is the result of a [load].
type loadResult struct {
	// answered is the number of requests with a 200, including the warm-up.
	answered int
	// counted is the number of requests with a 200 in the timed part, and elapsed the length of the timed part.
	counted int
	elapsed time.Duration
	// started is the time of the first request.
	started time.Time
}

// rate returns the number of counted answers a second.
func (r loadResult) rate() float64 { return float64(r.counted) / r.elapsed.Seconds() }

// answerTimeout bounds the wait for the last answers after the timed part.
const answerTimeout = 30 * time.Second

// run sends requests until the time is over. They must have timestamps. An answer other than a 200 is an error, because the rate would not
// be that of accepted events.
func (l load) run(ctx context.Context) (loadResult, error) {
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
		// The next read or write returns the error.
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
		return result, fmt.Errorf("after %d requests with a 200: %w", result.answered, err)
	}
	if result.elapsed = min(last, l.warmup+l.duration) - l.warmup; result.elapsed <= 0 {
		return result, fmt.Errorf("all %d requests were sent before the timed part began: prepare more requests, or shorten the warm-up",
			len(l.requests.rendered))
	}
	return result, nil
}

// connection sends one request after the other. Each connection has its own counts, so that connections share only the number of the next
// request.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader

	answered, counted int
	last              time.Duration // time of the last answer, from the start
}

func (c *connection) run(l load, started time.Time, next *atomic.Int64) error {
	end := l.warmup + l.duration
	for c.last < end {
		i := int(next.Add(1)) - 1
		if i >= len(l.requests.rendered) {
			return nil
		}
		if _, err := c.conn.Write(l.requests.rendered[i]); err != nil {
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

// readSuccess reads an answer. If the answer is not a 200 with a Content-Length, it returns an error with the beginning of the answer.
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
