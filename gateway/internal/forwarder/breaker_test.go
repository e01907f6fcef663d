package forwarder_test

import (
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	const (
		fail = iota
		failMisconfigured
		succeed
	)
	type step struct {
		what int
		// begun and now are in milliseconds.
		begun, now int
		times      int
		want       string
	}
	for name, steps := range map[string][]step{
		"few failures":             {{fail, 0, 60_000, 19, "closed"}},
		"many failures at once":    {{fail, 1000, 1001, 1000, "closed"}},
		"many failures in a while": {{fail, 1000, 1001, 1000, "closed"}, {fail, 1200, 1249, 1, "closed"}, {fail, 1200, 1250, 1, "open"}},
		"many calls that hang":     {{fail, 0, 5000, 19, "closed"}, {fail, 0, 5000, 1, "open"}},
		"failures with a success between": {
			{fail, 0, 5000, 19, "closed"}, {succeed, 4990, 5001, 1, "closed"}, {fail, 5001, 6000, 19, "closed"}, {fail, 5001, 6000, 1, "open"},
		},
		"nearly all calls fail": {
			{fail, 0, 10, 500, "closed"}, {succeed, 0, 100, 1, "closed"}, {fail, 100, 110, 500, "closed"}, {succeed, 100, 200, 1, "closed"},
			{fail, 200, 210, 500, "closed"}, {succeed, 200, 300, 1, "closed"}, {fail, 300, 310, 500, "closed"},
		},
		"calls that hang beside others that succeed": {{succeed, 4900, 5000, 1, "closed"}, {fail, 0, 5000, 256, "closed"}},
		"a success closes it":                        {{fail, 0, 5000, 20, "open"}, {succeed, 5000, 5010, 1, "closed"}},
		"a call from before it was closed": {
			{fail, 0, 5000, 20, "open"}, {succeed, 5000, 5010, 1, "closed"}, {fail, 5009, 9000, 100, "closed"},
			{failMisconfigured, 5009, 9000, 100, "closed"}, {fail, 5010, 9000, 20, "open"},
		},
		"a wrong deployment":                 {{failMisconfigured, 0, 1000, 19, "closed"}, {failMisconfigured, 0, 1000, 1, "misconfigured"}},
		"a wrong deployment after an outage": {{fail, 0, 5000, 20, "open"}, {failMisconfigured, 5000, 5010, 1, "misconfigured"}},
		"an outage after a wrong deployment": {
			{failMisconfigured, 0, 1000, 20, "misconfigured"}, {fail, 1000, 1010, 5, "misconfigured"}, {succeed, 1010, 1020, 1, "closed"},
		},
	} {
		breaker := forwarder.NewBreaker()
		for i, s := range steps {
			for range s.times {
				begun, now := time.UnixMilli(int64(s.begun)), time.UnixMilli(int64(s.now))
				if s.what == succeed {
					breaker.Succeeded(now)
				} else {
					breaker.Failed(begun, now, s.what == failMisconfigured)
				}
			}
			if got := breaker.State(); got != s.want {
				t.Errorf("%s: after step %d it is %s, want %s", name, i, got, s.want)
			}
		}
	}
}
