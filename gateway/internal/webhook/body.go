package webhook

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

var errTooLarge = errors.New("body is over the size limit")

const (
	// segmentBytes is the number of bytes that a sender must send in each segmentTimeout when its body is larger than that. It is also the
	// size of the recycled buffers into which each body is read at first. Allthings' events are a few kilobytes.
	segmentBytes = 16 << 10
	// segmentTimeout makes the minimum rate of a large body 5 KiB/s at any time. The body also has readTimeout in total, so a body of 1 MiB
	// needs 70 KiB/s on average.
	segmentTimeout = 3 * time.Second
	// bodiesMemory is enough for 4,096 bodies of at most segmentBytes, the maximum number that waits in the inbox, and for 64 bodies of the
	// default size limit.
	bodiesMemory = 4096 * segmentBytes
)

// bodyReader reads request bodies within limits of size, rate and memory.
type bodyReader struct {
	limit   int64
	budget  *memoryBudget
	buffers sync.Pool
}

func newBodyReader(limit, memory int64) *bodyReader {
	return &bodyReader{
		limit:   limit,
		budget:  newMemoryBudget(memory),
		buffers: sync.Pool{New: func() any { return new([segmentBytes]byte) }},
	}
}

// requestBody is a body that was read. After [requestBody.release] bytes must not be used.
type requestBody struct {
	bytes []byte

	reader *bodyReader
	grant  *grant
	// buffer is a recycled buffer. It holds the first bytes.
	buffer *[segmentBytes]byte
}

// read reads the whole body. It returns [errTooLarge], [errNoMemory], [errCutOff], or the error of the connection.
func (b *bodyReader) read(w http.ResponseWriter, r *http.Request) (*requestBody, error) {
	if r.ContentLength > b.limit {
		return nil, errTooLarge
	}
	sender := http.NewResponseController(w)
	body := &requestBody{reader: b, grant: b.budget.open(sender)}
	err := body.fill(r)
	if cutOff := body.grant.finish(); cutOff != nil {
		err = cutOff
	}
	if err != nil {
		body.release()
		return nil, err
	}
	if len(body.bytes) > segmentBytes {
		// Otherwise the deadline of the last segment would end the request's context while the body is stored.
		_ = sender.SetReadDeadline(time.Time{})
	}
	return body, nil
}

// fill reads segment by segment, so that only received bytes take memory, whatever length was declared.
func (b *requestBody) fill(r *http.Request) error {
	// One byte more than the limit shows that the body is too large.
	most := b.reader.limit + 1
	if r.ContentLength >= 0 {
		most = r.ContentLength
	}
	end := time.Now().Add(readTimeout)
	var deadline time.Time // At first the server's own deadline applies.
	for {
		if err := b.grow(most, deadline); err != nil {
			return err
		}
		begin := len(b.bytes)
		n, err := readAll(r.Body, b.bytes[begin:min(begin+segmentBytes, cap(b.bytes), int(most))])
		b.bytes = b.bytes[:begin+n]
		switch {
		case int64(len(b.bytes)) > b.reader.limit:
			return errTooLarge
		case errors.Is(err, io.EOF) || int64(len(b.bytes)) == r.ContentLength:
			return nil
		case err != nil:
			return err
		}
		if deadline = time.Now().Add(segmentTimeout); deadline.After(end) {
			deadline = end
		}
	}
}

// grow grants memory for the next segment, which must be received before deadline.
func (b *requestBody) grow(most int64, deadline time.Time) error {
	size := int64(cap(b.bytes))
	if len(b.bytes) == cap(b.bytes) {
		size = max(segmentBytes, min(2*size, most))
	}
	if err := b.grant.advance(size, deadline); err != nil {
		return err
	}
	switch {
	case b.buffer == nil && b.bytes == nil:
		b.buffer = b.reader.buffers.Get().(*[segmentBytes]byte)
		b.bytes = b.buffer[:0]
	case size > int64(cap(b.bytes)):
		b.bytes = append(make([]byte, 0, size), b.bytes...)
		b.recycle()
	}
	return nil
}

// readAll fills p, or returns the error that occurs before p is full.
func readAll(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var some int
		some, err = r.Read(p[n:])
		n += some
	}
	return n, err
}

// release returns the body's memory to the budget.
func (b *requestBody) release() {
	b.recycle()
	b.grant.release()
}

func (b *requestBody) recycle() {
	if b.buffer != nil {
		b.reader.buffers.Put(b.buffer)
		b.buffer = nil
	}
}
