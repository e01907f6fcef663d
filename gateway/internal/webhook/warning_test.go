package webhook_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// Each kind of request that is not stored causes a line with the fix: the first request at once, the others together a minute
// later. So nobody can fill the log.
func TestHandler_warnings(t *testing.T) {
	t.Parallel()
	rejectUnsigned := func(s *setup) { s.options.RejectUnsigned = true }
	big := signed(sized(3000))
	for name, test := range map[string]struct {
		change func(*setup)
		post   func(*testing.T, *harness)
		// want are parts of the line, each of which must be there once.
		want []string
	}{
		"413": {
			func(s *setup) { s.options.MaxBodyBytes = 2000 },
			func(t *testing.T, d *harness) {
				d.follow(t, step{big, answers(413, "Body is too large", "Connection: close")})
			},
			[]string{`msg="deliveries over the size limit are refused"`, "--max-body-bytes", "largest_bytes=3000 ", "max_body_bytes=2000\n"},
		},
		"413, in chunks": {
			func(s *setup) { s.options.MaxBodyBytes = 2000 },
			func(t *testing.T, d *harness) {
				d.follow(t, step{big.chunked(100), answers(413, "Body is too large", "Connection: close")})
			},
			[]string{`msg="deliveries over the size limit are refused"`, "--max-body-bytes", "largest_bytes=2001 ", "max_body_bytes=2000\n"},
		},
		"415": {
			nil,
			func(t *testing.T, d *harness) {
				d.follow(t, step{signed(bodyOf("e1")).and("Content-Encoding", "gzip"), answers(415, "Content-Encoding is not supported")})
			},
			[]string{`msg="deliveries with a Content-Encoding are refused"`, "compression"},
		},
		"408": {
			func(s *setup) { s.server = func(s *http.Server) { s.ReadTimeout = 50 * time.Millisecond } },
			func(t *testing.T, d *harness) {
				c := d.dial(t)
				c.mustWrite(t, big.head()+big.body[:10])
				if got := c.answer(t, "POST"); got.status() != "408" {
					t.Errorf("answer %s", got.Head)
				}
			},
			[]string{`msg="deliveries whose body arrives too slowly are refused"`, "buffer requests"},
		},
		"cut short": {
			nil,
			func(t *testing.T, d *harness) {
				c := d.dial(t)
				c.mustWrite(t, big.head()+big.body[:10])
				c.mustCloseWrite(t)
				if got := c.answer(t, "POST"); got.status() != "400" {
					t.Errorf("answer %s", got.Head)
				}
			},
			[]string{`msg="deliveries whose body is incomplete are refused"`, "size limits of the proxy"},
		},
		"too many": {
			withInbox(func(context.Context, inbox.Incoming) (inbox.Action, error) { return 0, inbox.ErrBusy }),
			func(t *testing.T, d *harness) { d.follow(t, step{signed(bodyOf("e1")), tryLater}) },
			[]string{`msg="too many deliveries wait to be stored, so more are refused"`, "another gateway"},
		},
		"a wrong signature": {
			nil,
			func(t *testing.T, d *harness) {
				d.follow(t, step{signed(bodyOf("e1")).with(signatureHeader, sign("wrong", "")), unauthorized})
			},
			[]string{`msg="deliveries with a wrong signature are refused"`, "--webhook-secret,"},
		},
		"no signature in its header": {
			nil,
			func(t *testing.T, d *harness) {
				d.follow(t, step{signed(bodyOf("e1")).with(signatureHeader, "v1=x"), noSignature})
			},
			[]string{`msg="deliveries whose signature header holds no signature are refused"`, "64 hex digits"},
		},
		"unsigned, rejected": {
			rejectUnsigned,
			func(t *testing.T, d *harness) { d.follow(t, step{unsigned("{}"), answers(400, "Missing signature")}) },
			[]string{`msg="deliveries without a signature are refused"`, "--unsigned"},
		},
		"an unsigned event": {
			nil,
			func(t *testing.T, d *harness) { d.follow(t, step{unsigned(bodyOf("e1")), testEvent}) },
			[]string{`msg="events without a signature are not stored: a proxy removes the signature header, or the webhook has no secret"`,
				"--signature-header", "status=200\n"},
		},
		"an unsigned event of 500 kB": {
			nil,
			func(t *testing.T, d *harness) { d.follow(t, step{unsigned(sized(500_000)), testEvent}) },
			[]string{`msg="events without a signature are not stored: `, "status=200\n"},
		},
		"an unsigned event of another kind": {
			nil,
			func(t *testing.T, d *harness) { d.follow(t, step{unsigned(unexpectedEvent), testEvent}) },
			[]string{`msg="events without a signature are not stored: `, "status=200\n"},
		},
		"an unsigned event, rejected": {
			rejectUnsigned,
			func(t *testing.T, d *harness) {
				d.follow(t, step{unsigned(bodyOf("e1")), answers(400, "Missing signature")})
			},
			[]string{`msg="events without a signature are not stored: `, "status=400\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var minutes atomic.Int64
			changes := []func(*setup){func(s *setup) {
				s.options.Now = func() time.Time { return epoch.Add(time.Duration(minutes.Load()) * time.Minute) }
			}}
			if test.change != nil {
				changes = append(changes, test.change)
			}
			d := mustServe(t, changes...)
			for range 3 {
				test.post(t, d)
			}
			minutes.Store(1)
			test.post(t, d)
			d.wantRows(t)
			var lines []string
			for line := range strings.Lines(d.log.String()) {
				if strings.HasPrefix(line, "time=") && strings.Contains(line, "level=WARN") {
					lines = append(lines, line)
				}
			}
			if len(lines) != 2 || !strings.Contains(lines[0], " count=1 fix=") || !strings.Contains(lines[1], " count=3 fix=") {
				t.Fatalf("the lines are %q, want one for the first and one for the other three", lines)
			}
			for _, want := range test.want {
				if strings.Count(lines[1], want) != 1 {
					t.Errorf("%q is not once in: %s", want, lines[1])
				}
			}
		})
	}
}

// Allthings' test, and a body that is not an event, cause no line.
func TestHandler_unsignedWithoutAnEvent(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	for _, body := range []string{"", "{}", "null", "test", `{"event":{}}`, `{"event":{"id":"e1","name":"booking.created"}}`,
		`{"event":{"name":"ticket.created"}}`, `{"event":{"id":"","name":"ticket.created"}}`, bodyOf("e1") + "x"} {
		d.follow(t, step{unsigned(body), testEvent})
	}
	d.wantRows(t)
	if log := d.log.String(); log != "" {
		t.Errorf("the log says:\n%s", log)
	}
}
