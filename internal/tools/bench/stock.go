package bench

import (
	"errors"
	"strconv"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

// Stock is a number of requests, rendered before anything is timed: each a different event of about 1.6 kB, really signed. The same
// stock serves every variant, so that all get the same bytes; a gateway with an empty database sees each event for the first time.
type Stock struct {
	requests [][]byte
}

// requestHead comes first in each request. It ends where the timestamp begins, so that [Stock.Stamp] finds it.
const requestHead = "POST " + webhookPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + simulator.TimestampHeader + ": "

// timestampDigits is the length of a time in milliseconds since the epoch, from 2001 to 2286.
const timestampDigits = 13

// NewStock renders n requests, which take about 2 kB of memory each. They have no valid time until [Stock.Stamp] is called.
func NewStock(n int, seed uint64, secret string) *Stock {
	s := &Stock{requests: make([][]byte, 0, n)}
	for event := range simulator.Generate(seed, n, simulator.GenerateOptions{EvenSize: true}) {
		request := make([]byte, 0, 300+len(event.Body))
		request = append(request, requestHead...)
		request = append(request, "0000000000000\r\n"+simulator.SignatureHeader+": "...)
		request = append(request, simulator.Sign(secret, event.Body)...)
		request = append(request, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		request = strconv.AppendInt(request, int64(len(event.Body)), 10)
		request = append(request, "\r\n\r\n"...)
		s.requests = append(s.requests, append(request, event.Body...))
	}
	return s
}

// Len returns how many requests there are.
func (s *Stock) Len() int { return len(s.requests) }

// Bytes returns how long a request is on average.
func (s *Stock) Bytes() int {
	sum := 0
	for _, request := range s.requests {
		sum += len(request)
	}
	return sum / max(1, len(s.requests))
}

// Stamp writes this time into every request. A gateway takes them for its tolerance, two minutes, after that. The signature does not
// cover the timestamp, so it stays right.
func (s *Stock) Stamp(now time.Time) error {
	stamp := strconv.FormatInt(now.UnixMilli(), 10)
	if len(stamp) != timestampDigits {
		return errors.New("the clock is not set")
	}
	for _, request := range s.requests {
		copy(request[len(requestHead):], stamp)
	}
	return nil
}
