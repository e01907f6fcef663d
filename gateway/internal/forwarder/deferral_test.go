package forwarder_test

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// busyFor is an error that asks for a retry after a time.
func busyFor(t *testing.T, code connect.Code, delay *durationpb.Duration) error {
	t.Helper()
	err := wireError(code, "call again later")
	detail, detailErr := connect.NewErrorDetail(&errdetails.RetryInfo{RetryDelay: delay})
	if detailErr != nil {
		t.Fatal(detailErr)
	}
	err.AddDetail(detail)
	return err
}

func TestForwarder_retryInfo(t *testing.T) {
	t.Parallel()
	for _, code := range []connect.Code{connect.CodeResourceExhausted, connect.CodeAborted, connect.CodeDeadlineExceeded} {
		for name, test := range map[string]struct {
			asked *durationpb.Duration
			want  time.Duration
		}{
			"none":     {nil, time.Millisecond},
			"negative": {durationpb.New(-time.Hour), time.Millisecond},
			"short":    {durationpb.New(300 * time.Millisecond), 300 * time.Millisecond},
			"minutes":  {durationpb.New(3 * time.Minute), 3 * time.Minute},
			"days":     {durationpb.New(100 * time.Hour), 15 * time.Minute},
			"invalid":  {&durationpb.Duration{Seconds: math.MaxInt64}, 15 * time.Minute},
		} {
			t.Run(code.String()+" "+name, func(t *testing.T) {
				t.Parallel()
				var calls []time.Time
				in := newMemoryInbox(1)
				inBubble(t, in, func(context.Context) error {
					calls = append(calls, time.Now())
					if len(calls) == 1 {
						return busyFor(t, code, test.asked)
					}
					return nil
				}, func(*testing.T) { time.Sleep(time.Hour) })
				if len(calls) != 2 {
					t.Fatalf("%d calls, want 2", len(calls))
				}
				// The first backoff, of up to 250 ms, is added to the delay, so that not all come back at the same time.
				if waited := calls[1].Sub(calls[0]); waited < test.want || waited > test.want+260*time.Millisecond {
					t.Errorf("the retry came after %v, want %v and little more", waited, test.want)
				}
				if in.forwarded != 1 {
					t.Error("the event was not forwarded")
				}
			})
		}
	}
}

func TestForwarder_resourceExhaustedWithoutRetryInfo(t *testing.T) {
	t.Parallel()
	in := newMemoryInbox(1)
	inBubble(t, in, func(context.Context) error {
		return wireError(connect.CodeResourceExhausted, "message size 5 is larger than configured max 4")
	}, func(*testing.T) { time.Sleep(time.Minute) })
	row := in.row(1)
	if want := "ticketsvc: resource_exhausted: message size 5 is larger than configured max 4"; row.state != inbox.Dead ||
		row.delivery.Reason != want || row.delivery.Attempts != 1 {
		t.Errorf("%v after %d attempts with the reason %q; want it dead after 1 with %q", row.state, row.delivery.Attempts,
			row.delivery.Reason, want)
	}
}

// TestClassify_unreadableRetryInfo has a RetryInfo whose bytes are cut off. It still asks for a retry.
func TestClassify_unreadableRetryInfo(t *testing.T) {
	t.Parallel()
	detail, err := connect.NewErrorDetail(&anypb.Any{TypeUrl: "type.googleapis.com/google.rpc.RetryInfo", Value: []byte{0x0a, 0x22}})
	if err != nil {
		t.Fatal(err)
	}
	busy := wireError(connect.CodeResourceExhausted, "call again later")
	busy.AddDetail(detail)
	if got := forwarder.Classify(busy); got != "deferred" {
		t.Errorf("the outcome is %s, want deferred", got)
	}
}

// TestClassify_unsent has errors of calls that were not sent: whatever the reason, none of their events can be it.
func TestClassify_unsent(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"refused":   {connect.NewError(connect.CodeUnavailable, dial(syscall.ECONNREFUSED)), "unreachable"},
		"no answer": {connect.NewError(connect.CodeDeadlineExceeded, dial(os.ErrDeadlineExceeded)), "unreachable"},
		"a proxy that can't be reached": {connect.NewError(connect.CodeUnavailable,
			&net.OpError{Op: "proxyconnect", Err: dial(syscall.ECONNREFUSED)}), "unreachable"},
		"a proxy that is not trusted": {connect.NewError(connect.CodeUnavailable,
			&net.OpError{Op: "proxyconnect", Err: &tls.CertificateVerificationError{Err: errors.New("expired")}}), "misconfigured"},
	} {
		if got := forwarder.Classify(test.err); got != test.want || !forwarder.IsUnsent(test.err) {
			t.Errorf("%s: the class is %s and unsent is %v, want %s and unsent", name, got, forwarder.IsUnsent(test.err), test.want)
		}
	}
	late := connect.NewError(connect.CodeDeadlineExceeded, context.DeadlineExceeded)
	if forwarder.Classify(late) != "deferred" || forwarder.IsUnsent(late) {
		t.Errorf("a call that takes too long is %s, want it deferred and sent", forwarder.Classify(late))
	}
}

// TestForwarder_reasonIsPrintable has a message that would change the terminal of a person who reads the reason.
func TestForwarder_reasonIsPrintable(t *testing.T) {
	t.Parallel()
	in := newMemoryInbox(1)
	inBubble(t, in, func(context.Context) error {
		return wireError(connect.CodeInvalidArgument, "a\x00b\x1b[31m\nc\u2028d\u202e\xffé"+strings.Repeat("ü", 200))
	}, func(*testing.T) { time.Sleep(time.Minute) })
	reason := in.row(1).delivery.Reason
	if want := "ticketsvc: invalid_argument: a b [31m c d éü"; !strings.HasPrefix(reason, want) || len(reason) > 256 ||
		!utf8.ValidString(reason) {
		t.Errorf("reason %q, want at most 256 bytes that begin with %q", reason, want)
	}
}

func TestForwarder_deferredForHours(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		err  error
	}{
		{"overloaded", busyFor(t, connect.CodeResourceExhausted, durationpb.New(time.Second))},
		{"held", wireError(connect.CodeAborted, strings.Repeat("held by another writer ", 50))},
		{"slow", wireError(connect.CodeDeadlineExceeded, "it takes too long")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := newMemoryInbox(1)
			reasons := map[string]bool{}
			log := inBubble(t, in, func(context.Context) error {
				return test.err
			}, func(*testing.T) {
				for range 6 * 60 {
					time.Sleep(time.Minute)
					reasons[in.row(1).delivery.Reason] = true
				}
			})
			if row := in.row(1); row.state != inbox.Pending || row.delivery.Attempts != 0 {
				t.Errorf("%v after %d attempts, want it pending after none", row.state, row.delivery.Attempts)
			}
			if len(reasons) != 1 {
				t.Errorf("the reason changed: %v", reasons)
			}
			for reason := range reasons {
				if !strings.HasPrefix(reason, "ticketsvc: ") || len(reason) > 256 {
					t.Errorf("reason %q, want at most 256 bytes about ticketsvc", reason)
				}
			}
			var warnings []time.Time
			for _, line := range log {
				if !strings.Contains(line, "delivery_id=1 ") {
					continue
				}
				if !strings.Contains(line, "level=WARN") || !strings.Contains(line, "receive_time=2000-01-01T00:00:00.000Z ") {
					t.Errorf("log line %q, want a warning with the time when the event was received", line)
				}
				at, err := time.Parse(time.RFC3339, regexp.MustCompile(`time=(\S+)`).FindStringSubmatch(line)[1])
				if err != nil {
					t.Fatal(err)
				}
				warnings = append(warnings, at)
			}
			if len(warnings) < 5 || len(warnings) > 14 {
				t.Fatalf("%d warnings in six hours, want a few:\n%s", len(warnings), strings.Join(log, "\n"))
			}
			if first := warnings[0].Sub(warnings[0].Truncate(24 * time.Hour)); first > time.Minute {
				t.Errorf("the first warning came after %v, want it within a minute", first)
			}
			for i := 2; i < len(warnings); i++ {
				if warnings[i].Sub(warnings[i-1]) < warnings[i-1].Sub(warnings[i-2]) {
					t.Errorf("warning %d came sooner after the one before than that did: %v", i, warnings)
				}
			}
		})
	}
}
