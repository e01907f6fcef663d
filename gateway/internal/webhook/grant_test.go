package webhook_test

import (
	"context"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/webhook"
)

// TestHandler_releasesMemory ends requests in every way at the same time, and checks that all memory for bodies is free after that.
func TestHandler_releasesMemory(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		memory int64
		ends   []string
	}{
		"little memory": {littleMemory, []string{"the slowest senders are cut off"}},
		"enough":        {64 << 20, []string{"too slowly", "over the size limit", "is incomplete", "wait to be stored", "panicked"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var handler *webhook.Handler
			d := mustServe(t, func(s *setup) {
				s.handler = func(h *webhook.Handler) {
					h.SetMemory(test.memory)
					handler = h
				}
				s.server = func(s *http.Server) { s.ReadTimeout = 3 * time.Second } // for senders that stall
				s.options.MaxBodyBytes = 2 * littleMemory
			}, withInbox(func(_ context.Context, a inbox.Incoming) (inbox.Action, error) {
				switch a.EventID {
				case "panic":
					panic("inbox")
				case "busy":
					return inbox.Ignore, inbox.ErrBusy
				}
				return inbox.Insert, nil
			}))
			d.endInEveryWay(t)
			if free, reading, readingBytes := handler.Memory(); free != test.memory || reading != 0 || readingBytes != 0 {
				t.Errorf("%d of %d bytes are free, and %d bodies with %d bytes arrive", free, test.memory, reading, readingBytes)
			}
			for _, end := range test.ends {
				if !strings.Contains(d.log.String(), end) {
					t.Errorf("no request ended with %q", end)
				}
			}
		})
	}
}

// littleMemory is memory for 16 small bodies.
const littleMemory = 16 * 16 << 10

// endInEveryWay makes requests that end in every way, and returns when the server is done with them.
func (d *harness) endInEveryWay(t *testing.T) {
	t.Helper()
	const all = math.MaxInt
	small, large, tooMuch, tooLarge := bodyOf("e1"), sized(100_000), sized(littleMemory+1), sized(2*littleMemory+1)
	withX := func(id string) string { return eventWith(id, `"x":"`+strings.Repeat("x", 40_000)+`"`) }
	var group sync.WaitGroup
	for _, test := range []struct {
		request request
		// sent is how much of the body is sent.
		sent int
		// leaves is set for a client that does not wait for the answer.
		leaves bool
	}{
		{request: signed(small), sent: all},
		{request: signed(large), sent: all},
		{request: signed(large).chunked(5000), sent: all},
		{request: signed(large).and("Expect", "100-continue"), sent: all},
		{request: signed(""), sent: all},
		{request: signed(small).to("POST /webhook HTTP/1.0"), sent: all},
		{request: signed(large).with(signatureHeader, sign("wrong", "")), sent: all},
		{request: signed(large).with(signatureHeader, "0"), sent: all},
		{request: signed(large).without(timestampHeader), sent: all},
		{request: signed(large[1:]), sent: all},
		{request: signed(withX("panic")), sent: all},
		{request: signed(withX("busy")), sent: all},
		{request: signed(large).to("GET /webhook HTTP/1.1"), sent: all},
		{request: unsigned(""), sent: all},
		{request: unsigned("").without("Content-Length"), sent: all},
		{request: unsigned("").chunked(1), sent: all},
		{request: unsigned(large).chunked(999), sent: all},
		{request: signed("5\r\nabcdeXX").without("Content-Length").and("Transfer-Encoding", "chunked"), sent: all},
		{request: signed(large), sent: 0},
		{request: signed(large), sent: 10},
		{request: signed(large), sent: 20_000},
		{request: signed(large), sent: 10, leaves: true},
		{request: signed(large), sent: 50_000, leaves: true},
		{request: signed(large), sent: all, leaves: true},
		{request: signed(tooLarge), sent: 0},
		{request: signed(tooLarge).chunked(9999), sent: all},
		{request: signed(tooMuch), sent: all},
		{request: signed(tooMuch).chunked(50_000), sent: all},
	} {
		text := test.request.head() + test.request.body[:min(test.sent, len(test.request.body))]
		for range 6 {
			c := d.dial(t)
			group.Go(func() {
				// A client that is refused at once can't send all of it.
				_, _ = io.WriteString(c, text)
				if !test.leaves {
					_, _ = c.read("POST")
				}
				_ = c.Close()
			})
		}
	}
	group.Wait()
	d.connections.waitForDialed()
}
