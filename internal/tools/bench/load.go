package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Load sends requests over a number of connections, as fast as the answers come. It speaks just as much HTTP/1.1 as it needs, because on
// one machine whatever the generator costs is taken from the server.
type Load struct {
	// Addresses of the servers, each of which gets its share of the connections.
	Addresses []string
	// Connections are kept alive, and each has one request under way at any time.
	Connections int
	// Stock is what is sent, each request once. When it runs out the load ends early, and the rate is of the time until then.
	Stock *Stock
	// Warmup is for how long answers are not counted, Duration for how long they are after that.
	Warmup, Duration time.Duration
}

// LoadResult is what came of a [Load].
type LoadResult struct {
	// Answered is how many requests got a 200, from the first to the last.
	Answered int
	// Counted is how many of them did in the timed part, and Elapsed how long that was.
	Counted int
	Elapsed time.Duration
	// Started is when the first request went out.
	Started time.Time
}

// Rate returns the counted answers a second.
func (r LoadResult) Rate() float64 { return float64(r.Counted) / r.Elapsed.Seconds() }

// answerTimeout bounds how long the last answers may take after the timed part.
const answerTimeout = 30 * time.Second

// Run sends until the time is over. Any other answer than a 200 is an error, which counts them by status: what is then measured is not
// what was meant.
func (l Load) Run(ctx context.Context) (LoadResult, error) {
	connections, err := l.connect(ctx)
	if err != nil {
		return LoadResult{}, err
	}
	result := LoadResult{Started: time.Now()}
	var next atomic.Int64
	var workers sync.WaitGroup
	for _, c := range connections {
		// The error comes up at the next read or write.
		_ = c.conn.SetDeadline(result.Started.Add(l.Warmup + l.Duration + answerTimeout))
		workers.Go(func() { c.run(l, result.Started, &next) })
	}
	unhook := context.AfterFunc(ctx, func() {
		for _, c := range connections {
			_ = c.conn.SetDeadline(time.Unix(1, 0))
		}
	})
	workers.Wait()
	unhook()
	var last time.Duration
	var errs []error
	for _, c := range connections {
		result.Answered += c.answered
		result.Counted += c.counted
		last = max(last, c.last)
		errs = append(errs, c.err, c.conn.Close())
	}
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	if err := errors.Join(errs...); err != nil {
		return result, fmt.Errorf("%d requests got a 200, but: %w", result.Answered, firstLines(err))
	}
	if result.Elapsed = min(last, l.Warmup+l.Duration) - l.Warmup; result.Elapsed <= 0 {
		return result, fmt.Errorf("all %d requests were sent before the timed part began: prepare more, or shorten the warm-up", l.Stock.Len())
	}
	return result, nil
}

// maxErrorLines keeps the error of a server that is down from being as long as there are connections.
const maxErrorLines = 3

// firstLines cuts an error's text short.
func firstLines(err error) error {
	lines := bytes.SplitN([]byte(err.Error()), []byte("\n"), maxErrorLines+1)
	if len(lines) <= maxErrorLines {
		return err
	}
	return fmt.Errorf("%s\nand more", bytes.Join(lines[:maxErrorLines], []byte("\n")))
}

func (l Load) connect(ctx context.Context) ([]*connection, error) {
	var dialer net.Dialer
	connections := make([]*connection, 0, l.Connections)
	for i := range l.Connections {
		conn, err := dialer.DialContext(ctx, "tcp", l.Addresses[i%len(l.Addresses)])
		if err != nil {
			for _, c := range connections {
				_ = c.conn.Close()
			}
			return nil, err
		}
		connections = append(connections, &connection{conn: conn, reader: bufio.NewReader(conn)})
	}
	return connections, nil
}

// connection sends one request after the other. Its counts are its own, so that connections share nothing but the place in the stock.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader

	answered, counted int
	last              time.Duration // when the last answer came, counted from the start
	err               error
}

func (c *connection) run(l Load, started time.Time, next *atomic.Int64) {
	end := l.Warmup + l.Duration
	for c.last < end {
		i := int(next.Add(1)) - 1
		if i >= len(l.Stock.requests) {
			return
		}
		if _, c.err = c.conn.Write(l.Stock.requests[i]); c.err != nil {
			return
		}
		if c.err = readSuccess(c.reader); c.err != nil {
			return
		}
		c.last = time.Since(started)
		c.answered++
		if c.last >= l.Warmup && c.last < end {
			c.counted++
		}
	}
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
		first := string(bytes.TrimSpace(line))
		rest, _ := r.Peek(r.Buffered())
		return fmt.Errorf("answer %q, then %q", first, rest)
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
