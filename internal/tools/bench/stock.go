package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

// stock is a number of requests, rendered before anything is timed: each a different event of about 1.6 kB, really signed. The same
// stock serves every variant, so that all get the same bytes; a gateway with an empty database sees each event for the first time.
type stock struct {
	requests [][]byte
}

// requestHead comes first in each request. It ends where the timestamp begins.
const requestHead = "POST " + webhookPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + simulator.TimestampHeader + ": "

// newStock renders n requests, which take about 2 kB of memory each. They have no valid time before stamp is called.
func newStock(n int, secret string) *stock {
	s := &stock{requests: make([][]byte, 0, n)}
	for event := range simulator.Generate(1, n, simulator.GenerateOptions{EvenSize: true}) {
		s.requests = append(s.requests, fmt.Appendf(nil, requestHead+"0000000000000\r\n"+simulator.SignatureHeader+
			": %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			simulator.Sign(secret, event.Body), len(event.Body), event.Body))
	}
	return s
}

// stamp writes this time into every request. A gateway takes them for its tolerance, two minutes, after that. The signature does not
// cover the timestamp, so it stays right.
func (s *stock) stamp(now time.Time) {
	for _, request := range s.requests {
		copy(request[len(requestHead):], strconv.FormatInt(now.UnixMilli(), 10))
	}
}
