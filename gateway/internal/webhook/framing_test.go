package webhook_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestHandler_ambiguousFraming smuggles a signed delivery after or inside another. Wherever a proxy sees the end of the first one, the
// second must not be taken for a request.
func TestHandler_ambiguousFraming(t *testing.T) {
	t.Parallel()
	first, smuggled := signed(bodyOf("e1")), signed(bodyOf("e2")).String()
	plain := first.body
	chunks := inChunks(plain, 64)
	closed := answers(200, "success", "Connection: close")

	for name, test := range map[string]struct {
		request request
		// want is the only answer, if the handler itself answers. Otherwise net/http answers with the status.
		want   answer
		status string
		rows   []row
	}{
		"a length over both, and chunks": {
			request: first.carrying(chunks+smuggled).and("Transfer-Encoding", "chunked"), want: closed, rows: []row{pending("e1", plain)},
		},
		"chunks, and a length over both": {
			request: first.carrying(chunks+smuggled).without("Content-Length").and("Transfer-Encoding", "chunked").
				and("Content-Length", strconv.Itoa(len(chunks+smuggled))), want: closed, rows: []row{pending("e1", plain)},
		},
		"a length within the chunks": {
			request: first.carrying(chunks+smuggled).with("Content-Length", "4").and("Transfer-Encoding", "chunked"),
			want:    closed, rows: []row{pending("e1", plain)},
		},
		"a length of 0 and chunks": {
			request: first.carrying(chunks+smuggled).with("Content-Length", "0").and("Transfer-Encoding", "Chunked"),
			want:    closed, rows: []row{pending("e1", plain)},
		},
		"both, unsigned": {
			request: unsigned(chunks+smuggled).and("Transfer-Encoding", "chunked"), want: answers(200, "Received test event.", "Connection: close"),
		},
		"both, wrongly signed": {
			request: first.carrying(chunks+smuggled).with(signatureHeader, sign("wrong", "")).and("Transfer-Encoding", "chunked"),
			want:    answers(401, "Invalid signature", "Connection: close"),
		},
		"both, without a possible signature": {
			request: first.carrying(chunks+smuggled).with(signatureHeader, "x").and("Transfer-Encoding", "chunked"), want: noSignature,
		},
		"both, to another path": {
			request: first.carrying(chunks+smuggled).to("POST / HTTP/1.1").and("Transfer-Encoding", "chunked"),
			want:    answers(404, "Not found", "Connection: close"),
		},
		"both, with GET": {
			request: first.carrying(chunks+smuggled).to("GET /webhook HTTP/1.1").and("Transfer-Encoding", "chunked"),
			want:    answers(405, "Only POST is allowed", "Allow: POST", "Connection: close"),
		},
		"both, in HTTP/1.0 with keep-alive": {
			request: first.carrying(plain).to("POST /webhook HTTP/1.0").and("Connection", "keep-alive").and("Transfer-Encoding", "chunked").
				followedBy(smuggled), status: "200", rows: []row{pending("e1", plain)},
		},
		"chunked twice": {
			request: first.carrying(chunks+smuggled).and("Transfer-Encoding", "chunked").and("Transfer-Encoding", "chunked"), status: "501",
		},
		"chunked in a list": {
			request: first.carrying(chunks+smuggled).and("Transfer-Encoding", "identity, chunked"), status: "501",
		},
		"chunked, misspelt": {
			request: first.carrying(chunks+smuggled).and("Transfer-Encoding", "xchunked"), status: "501",
		},
		"chunked after a vertical tab": {
			request: first.carrying(chunks+smuggled).and("Transfer-Encoding", "\x0bchunked"), status: "400",
		},
		"a blank before the colon": {
			request: first.carrying(chunks+smuggled).and("Transfer-Encoding ", "chunked"), status: "400",
		},
		"two lengths": {
			request: first.carrying(plain+smuggled).and("Content-Length", strconv.Itoa(len(plain))), status: "400",
		},
		"a length with a sign": {
			request: first.carrying(plain).with("Content-Length", "+"+strconv.Itoa(len(plain))).followedBy(smuggled), status: "400",
		},
		"a chunk of a wrong size": {
			request: first.without("Content-Length").and("Transfer-Encoding", "chunked").followedBy("\r\n-1\r\n" + smuggled),
			want:    answers(400, "Incomplete body", "Connection: close"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t)
			c := d.dial(t)
			c.mustWrite(t, test.request.String())
			got, err := c.read("POST")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(got.Head, "\nConnection: close") {
				// It must be closed too, and soon.
				if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			if rest := c.rest(t); rest != "" {
				t.Errorf("a second answer: %q", rest)
			}
			got.Closed = true
			if test.status != "" {
				if got.status() != test.status {
					t.Errorf("status %s, want %s", got.status(), test.status)
				}
			} else if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			d.wantRows(t, test.rows...)
		})
	}
}

// followedBy appends to the sent bytes, without changing the headers.
func (r request) followedBy(more string) request {
	r.body += more
	return r
}

func TestHandler_incompleteBody(t *testing.T) {
	t.Parallel()
	small, large := signed(bodyOf("e1")), signed(sized(100_000))
	for name, r := range map[string]request{
		"small": small, "large": large, "small, in chunks": small.chunked(10), "large, in chunks": large.chunked(30_000),
		"cut to what is signed": signed(bodyOf("e1")).with("Content-Length", "9999").followedBy(strings.Repeat(" ", len(bodyOf("e1")))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t)
			half := r.head() + r.body[:len(r.body)/2]

			listening := d.dial(t)
			listening.mustWrite(t, half)
			listening.mustCloseWrite(t)
			if diff := cmp.Diff(answers(400, "Incomplete body", "Connection: close"), listening.answer(t, "POST")); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}

			gone := d.dial(t)
			gone.mustWrite(t, half)
			if err := gone.Close(); err != nil {
				t.Fatal(err)
			}
			d.connections.waitForDialed()
			d.wantRows(t)
		})
	}
}

func TestNewServer_timesOutSlowSenders(t *testing.T) {
	t.Parallel()
	r := signed(sized(20_000))
	for name, test := range map[string]struct {
		at     int
		server func(*http.Server)
		// want is the zero answer if net/http sends none, or 400.
		want answer
	}{
		"in the headers": {30, func(s *http.Server) { s.ReadHeaderTimeout = 100 * time.Millisecond }, answer{}},
		"in the body": {
			len(r.head()) + 30, func(s *http.Server) { s.ReadTimeout = 100 * time.Millisecond },
			answers(408, "Body came too slowly", "Connection: close"),
		},
		"late in a large body": {
			len(r.head()) + 17_000, func(s *http.Server) { s.ReadTimeout = 100 * time.Millisecond },
			answers(408, "Body came too slowly", "Connection: close"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t, func(s *setup) { s.server = test.server })
			c := d.dial(t)
			text := r.String()
			c.mustWrite(t, text[:test.at])
			got, sent := c.trickle(t, text[test.at:])
			if diff := cmp.Diff(test.want, got); diff != "" && (test.want != answer{} || got.status() != "400" || !got.Closed) {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if sent == len(text)-test.at {
				t.Error("the handler waited for all of it")
			}
			d.wantRows(t)
		})
	}
}

// The tests shorten the time limits that they reach. This test checks that the limits exist.
func TestNewServer_boundsEveryPhase(t *testing.T) {
	t.Parallel()
	mustServe(t, func(s *setup) {
		s.server = func(server *http.Server) {
			for name, bound := range map[string]time.Duration{
				"ReadHeaderTimeout": server.ReadHeaderTimeout, "ReadTimeout": server.ReadTimeout,
				"WriteTimeout": server.WriteTimeout, "IdleTimeout": server.IdleTimeout,
			} {
				if bound <= 0 || bound > 11*time.Minute {
					t.Errorf("%s is %v", name, bound)
				}
			}
		}
	})
}

// trickle sends one byte at a time until the handler stops reading, and returns the handler's answer. It is the zero answer if the handler
// only closed the connection.
func (c *client) trickle(tb testing.TB, text string) (got answer, sent int) {
	tb.Helper()
	for ; sent < len(text); sent++ {
		if err := c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
			tb.Fatal(err)
		}
		if _, err := c.reader.Peek(1); !isTimeout(err) {
			break
		}
		if _, err := c.Write([]byte{text[sent]}); err != nil {
			break
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(hangTimeout)); err != nil {
		tb.Fatal(err)
	}
	if got, err := c.read("POST"); err == nil {
		got.Closed = c.rest(tb) == ""
		return got, sent
	}
	return answer{}, sent
}
