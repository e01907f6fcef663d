package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

// requests are prepared requests, each with a different signed event of about 1.6 kB. All parts send the same requests, each part to an
// empty database.
type requests struct {
	rendered [][]byte
}

// requestHead is the beginning of each request, up to the timestamp.
const requestHead = "POST " + webhookPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + simulator.TimestampHeader + ": "

// newRequests renders n requests, which take about 2 kB of memory each. They have no valid timestamp before setTimestamps is called.
func newRequests(n int, secret string) *requests {
	r := &requests{rendered: make([][]byte, 0, n)}
	for event := range simulator.Generate(1, n, simulator.GenerateOptions{EvenSize: true}) {
		r.rendered = append(r.rendered, fmt.Appendf(nil, requestHead+"0000000000000\r\n"+simulator.SignatureHeader+
			": %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			simulator.Sign(secret, event.Body), len(event.Body), event.Body))
	}
	return r
}

// setTimestamps writes a time into every request. The gateway accepts the requests for its tolerance, two minutes, after that time. The
// signature does not cover the timestamp, so it stays valid.
func (r *requests) setTimestamps(now time.Time) {
	for _, request := range r.rendered {
		copy(request[len(requestHead):], strconv.FormatInt(now.UnixMilli(), 10))
	}
}
