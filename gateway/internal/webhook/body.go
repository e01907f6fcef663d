package webhook

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"
)

var (
	errTooLarge = errors.New("body is over the size limit")
	errNoRoom   = errors.New("too many large bodies are being read")
)

const (
	// smallBody is the size up to which a body is read into a recycled buffer. Allthings' events are a few kilobytes.
	smallBody = 16 << 10
	// largeBodies is how many bodies over smallBody are in memory at the same time at the most, so that senders who declare the largest
	// size and then dawdle can't take all memory.
	largeBodies = 256
)

// bodyReader reads request bodies under a limit of size and of memory.
type bodyReader struct {
	limit int64
	large *semaphore.Weighted
	small sync.Pool
}

func newBodyReader(limit int64) *bodyReader {
	return &bodyReader{
		limit: limit,
		large: semaphore.NewWeighted(largeBodies),
		small: sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, smallBody)) }},
	}
}

// requestBody is a body that was read. release gives its memory back, after which bytes must not be used.
type requestBody struct {
	bytes   []byte
	release func()
}

// read reads the whole body. It returns errTooLarge, errNoRoom, or the error of the connection.
func (b *bodyReader) read(r *http.Request) (requestBody, error) {
	if r.ContentLength > b.limit {
		return requestBody{}, errTooLarge
	}
	buffer := b.small.Get().(*bytes.Buffer)
	recycle := func() {
		buffer.Reset()
		b.small.Put(buffer)
	}
	first := min(smallBody, b.limit)
	if _, err := io.CopyN(buffer, r.Body, first); err == io.EOF {
		return requestBody{bytes: buffer.Bytes(), release: recycle}, nil
	} else if err != nil {
		recycle()
		return requestBody{}, err
	}
	return b.readLarge(r, buffer.Bytes(), recycle)
}

// readLarge reads on after start, which filled a small buffer.
func (b *bodyReader) readLarge(r *http.Request, start []byte, recycle func()) (requestBody, error) {
	defer recycle()
	if !b.large.TryAcquire(1) {
		return requestBody{}, errNoRoom
	}
	release := func() { b.large.Release(1) }
	large := bytes.NewBuffer(bytes.Clone(start))
	if _, err := io.Copy(large, io.LimitReader(r.Body, b.limit-int64(len(start))+1)); err != nil {
		release()
		return requestBody{}, err
	}
	if int64(large.Len()) > b.limit {
		release()
		return requestBody{}, errTooLarge
	}
	return requestBody{bytes: large.Bytes(), release: release}, nil
}

// validText returns s without what is not UTF-8 or is a control character, so that it can be stored and shown anywhere.
func validText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '\x7f' || r == '\uFFFD' {
			return -1
		}
		return r
	}, s)
}
