package webhook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/webhook"
)

// TestHandler_unauthenticatedSendersThatStall has many senders that send a part of a body and then nothing. All signed deliveries are
// accepted meanwhile.
func TestHandler_unauthenticatedSendersThatStall(t *testing.T) {
	t.Parallel()
	declared := unsigned("").with("Content-Length", "1000000")
	for name, test := range map[string]struct {
		senders, bytes int
		request        request
	}{
		"270, without a possible signature": {270, 16_385, declared.with(signatureHeader, "0")},
		"270, wrongly signed":               {270, 16_385, declared.with(signatureHeader, sign("wrong", ""))},
		"270, unsigned":                     {270, 16_385, declared},
		"2,000, wrongly signed":             {2_000, 16_000, declared.with(signatureHeader, sign("wrong", ""))},
		"2,000, with more than fits":        {2_000, 40_000, declared.with(signatureHeader, sign("wrong", ""))},
	} {
		t.Run(name, func(t *testing.T) {
			d := mustServe(t)
			text := test.request.head() + strings.Repeat(" ", test.bytes)
			var group sync.WaitGroup
			for range test.senders {
				c := d.dial(t)
				// A sender that is cut off, or refused at once, can't send all of it.
				group.Go(func() { _, _ = io.WriteString(c, text) })
			}
			group.Wait()
			const deliveries = 10
			for i := range deliveries {
				for _, size := range []int{200, 20_000, 1_000_000} {
					id := fmt.Sprintf("e%d-%d", i, size)
					body := eventWith(id, `"x":"`+strings.Repeat("x", size)+`"`)
					d.follow(t, step{signed(body), success})
				}
			}
			if kept := d.count(t, "SELECT count(*) FROM deliveries"); kept != 3*deliveries {
				t.Errorf("%d are kept, want %d", kept, 3*deliveries)
			}
		})
	}
}

// stall sends the head of a delivery and a part of its body, and returns after memory is reserved for the body.
func (d *harness) stall(tb testing.TB, r request, sent int) *client {
	tb.Helper()
	c := d.dial(tb)
	c.mustWrite(tb, r.and("Expect", "100-continue").head())
	// net/http asks for the body when it is read.
	if interim, err := c.read("POST"); err != nil || interim.Head != "HTTP/1.1 100 Continue" {
		tb.Fatalf("interim answer %q, %v", interim.Head, err)
	}
	c.mustWrite(tb, r.body[:sent])
	return c
}

// TestHandler_theSlowestIsCutOff has memory for eight small bodies, and eight senders that stall.
func TestHandler_theSlowestIsCutOff(t *testing.T) {
	t.Parallel()
	const stalled = 8
	d := mustServe(t, func(s *setup) {
		s.handler = func(h *webhook.Handler) { h.SetMemory(stalled * 16 << 10) }
		s.server = func(s *http.Server) { s.ReadTimeout = time.Hour }
	})
	slow := signed(bodyOf("slow"))
	clients := make([]*client, stalled)
	for i := range clients {
		clients[i] = d.stall(t, slow, 1)
	}
	// It takes the memory of two.
	large := signed(eventWith("e1", `"x":"`+strings.Repeat("x", 20_000)+`"`))
	d.follow(t, step{large, success})
	for i, c := range clients {
		want := success
		if i < 2 {
			want = answers(408, "Body came too slowly", "Connection: close")
		} else {
			c.mustWrite(t, slow.body[1:])
		}
		if diff := cmp.Diff(want, c.answer(t, "POST")); diff != "" {
			t.Errorf("answer to sender %d (-want +got):\n%s", i, diff)
		}
	}
	d.wantRows(t, pending("e1", large.body), pending("slow", slow.body))
	if log := d.log.String(); !strings.Contains(log, `msg="memory for bodies is used up, so the slowest senders are cut off" count=1 `) {
		t.Errorf("the log does not say so:\n%s", log)
	}
}

// TestHandler_minimumRate has a server that would wait for an hour. A sender that stalls in a large body is still timed out.
func TestHandler_minimumRate(t *testing.T) {
	t.Parallel()
	d := mustServe(t, func(s *setup) { s.server = func(s *http.Server) { s.ReadTimeout = time.Hour } })
	r := signed(sized(100_000))
	for _, sent := range []int{16<<10 + 1, 99_999} {
		t.Run(strconv.Itoa(sent), func(t *testing.T) {
			t.Parallel()
			c := d.stall(t, r, sent)
			if diff := cmp.Diff(answers(408, "Body came too slowly", "Connection: close"), c.answer(t, "POST")); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			d.wantRows(t)
		})
	}
}

// A sender whose header can't be a signature gets the answer before the body is received.
func TestHandler_anImpossibleSignatureIsRefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	d := mustServe(t, func(s *setup) { s.server = func(s *http.Server) { s.ReadTimeout = time.Hour } })
	r := signed(sized(100_000))
	digits := sign(secret, r.body)
	for name, r := range map[string]request{
		"a digit":                  r.with(signatureHeader, "0"),
		"empty":                    r.with(signatureHeader, ""),
		"two headers":              r.and(signatureHeader, digits),
		"a comma list":             r.with(signatureHeader, digits+","+digits),
		"asking before it is sent": r.with(signatureHeader, "0").and("Expect", "100-continue"),
		"in chunks":                r.chunked(1000).with(signatureHeader, "0"),
		"no timestamp either":      r.with(signatureHeader, "0").without(timestampHeader),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := d.dial(t)
			c.mustWrite(t, r.head())
			if diff := cmp.Diff(noSignature, c.answer(t, "POST")); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			d.wantRows(t)
		})
	}
}

// A body that exactly fills a recycled buffer needs no other buffer.
func TestHandler_sizesAboutABuffer(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	for _, size := range []int{15_872, 15_873, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 65_536, 65_537} {
		for _, chunk := range []int{0, 1000, 16_384} {
			id := fmt.Sprintf("e%d-%d", size, chunk)
			empty := eventWith(id, `"x":""`)
			body := eventWith(id, `"x":"`+strings.Repeat("x", size-len(empty))+`"`)
			if chunk == 0 {
				d.follow(t, step{signed(body), success})
			} else {
				d.follow(t, step{signed(body).chunked(chunk), answers(200, "success", "Connection: close")})
			}
		}
	}
	if kept := d.count(t, "SELECT count(*) FROM deliveries WHERE state = 1"); kept != 30 {
		t.Errorf("%d are kept, want 30", kept)
	}
}

// A body of up to 16 KiB takes 16 KiB of memory. A larger one takes its declared size. If it declares none, the memory is doubled each time
// that it is full.
func TestHandler_memoryOfABody(t *testing.T) {
	t.Parallel()
	const memory = 1 << 20
	var handler *webhook.Handler
	held := make(chan int64, 1)
	d := mustServe(t, func(s *setup) {
		s.handler = func(h *webhook.Handler) {
			h.SetMemory(memory)
			handler = h
		}
		s.inbox = inboxFunc(func(context.Context, inbox.Incoming) (inbox.Action, error) {
			free, _, _ := handler.Memory()
			held <- memory - free
			return inbox.Insert, nil
		})
	})
	for _, test := range []struct{ size, declared, chunked int64 }{
		{15_872, 16_384, 16_384}, {15_873, 16_384, 16_384}, {16_383, 16_384, 16_384}, {16_384, 16_384, 16_384}, {16_385, 16_385, 32_768},
		{32_768, 32_768, 32_768}, {40_000, 40_000, 65_536},
	} {
		d.post(t, signed(sized(int(test.size))))
		if got := <-held; got != test.declared {
			t.Errorf("%d bytes with their length: %d bytes of memory, want %d", test.size, got, test.declared)
		}
		d.post(t, signed(sized(int(test.size))).chunked(1000))
		if got := <-held; got != test.chunked {
			t.Errorf("%d bytes in chunks: %d bytes of memory, want %d", test.size, got, test.chunked)
		}
	}
}
