package forwarder_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

// replicas is a ticketsvc with two replicas, one of which can be away. Its calls use as many connections as there are callers, each to one
// of the replicas.
type replicas struct {
	// fails is a call to the replica that is away.
	fails func(context.Context) error
	// perCall is set if a load balancer chooses the replica anew for each call.
	perCall bool

	mu    sync.Mutex
	away  bool
	calls int
	// idle are the connections that no call uses. The one that was used last is last.
	idle []int
}

// answerTime is the duration of a call to a replica that is available.
const answerTime = 200 * time.Millisecond

// fullRate is the number of events per second while both replicas are available.
const fullRate = int(forwarder.MaxCalls * memoryClaim * time.Second / answerTime)

func newReplicas(perCall bool, fails func(context.Context) error) *replicas {
	r := &replicas{fails: fails, perCall: perCall}
	for connection := range 2 * forwarder.MaxEvents {
		r.idle = append(r.idle, connection)
	}
	return r
}

func (r *replicas) setAway(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

func (r *replicas) call(ctx context.Context) error {
	r.mu.Lock()
	connection := r.idle[len(r.idle)-1]
	r.idle = r.idle[:len(r.idle)-1]
	replica := connection % 2
	if r.perCall {
		replica = r.calls % 2
	}
	r.calls++
	away := r.away && replica == 1
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.idle = append(r.idle, connection)
		r.mu.Unlock()
	}()
	if away {
		return r.fails(ctx)
	}
	time.Sleep(answerTime)
	return nil
}

// refused is a call whose connection is refused.
func refused(context.Context) error {
	time.Sleep(80 * time.Millisecond)
	return connect.NewError(connect.CodeUnavailable, errors.New("connection refused"))
}

// unauthenticated is a call to a replica that has other tokens than the gateway.
func unauthenticated(context.Context) error {
	time.Sleep(80 * time.Millisecond)
	return wireError(connect.CodeUnauthenticated, "a valid token is needed")
}

// hung is a call that is never answered.
func hung(ctx context.Context) error {
	<-ctx.Done()
	return connect.NewError(connect.CodeDeadlineExceeded, ctx.Err())
}

func TestForwarder_halfOfTheCallsFail(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		perCall bool
		fails   func(context.Context) error
		// least is the minimum number of events per second while half of the calls fail, in percent of the full rate.
		least int
		// recovery is the maximum time until the full rate is reached again.
		recovery time.Duration
	}{
		{"calls are refused", true, refused, 50, 2 * time.Second},
		{"connections are refused", false, refused, 45, 2 * time.Second},
		{"calls are unauthenticated", true, unauthenticated, 50, 2 * time.Second},
		// A call that hangs blocks its caller until its deadline, even after the recovery.
		{"connections hang", false, hung, 45, 6 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := newMemoryInbox(25 * fullRate)
			ticketsvc := newReplicas(test.perCall, test.fails)
			forwardedIn := func(period time.Duration) int {
				before := in.countForwarded()
				time.Sleep(period)
				return in.countForwarded() - before
			}
			log := inBubble(t, in, ticketsvc.call, func(t *testing.T) {
				time.Sleep(time.Second)
				ticketsvc.setAway(true)
				if got := forwardedIn(10 * time.Second); got < 10*fullRate*test.least/100 {
					t.Errorf("%d events were forwarded in 10 s, want at least %d %% of %d", got, test.least, 10*fullRate)
				}
				ticketsvc.setAway(false)
				// Calls end at multiples of ten milliseconds, so the count begins in between.
				time.Sleep(test.recovery - 5*time.Millisecond)
				if got := forwardedIn(time.Second); got < fullRate*95/100 {
					t.Errorf("%d events were forwarded in the second after %v, want about %d", got, test.recovery, fullRate)
				}
				// Before the end of the test, when waiting deliveries are requeued.
				if got := in.countUntried(); got != 0 {
					t.Errorf("%d rows were written back untried, want none", got)
				}
			})
			if len(log) > 5 {
				t.Errorf("%d log lines, want at most 5:\n%s", len(log), strings.Join(log, "\n"))
			}
			if !strings.Contains(strings.Join(log, "\n"), "calls of ticketsvc fail") {
				t.Errorf("no log line says that calls fail:\n%s", strings.Join(log, "\n"))
			}
			in.checkUnharmed(t)
		})
	}
}

func TestForwarder_fullOutage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// outage is the duration of the outage. A lease holds for 30 s.
		outage time.Duration
		events int
		err    error
		want   string
	}{
		{"many events", 10 * time.Second, 40_000, connect.NewError(connect.CodeUnavailable, errors.New("refused")), "can't be reached"},
		{"longer than a lease", 2 * time.Minute, 40_000, wireError(connect.CodeUnavailable, "stopping"), "can't be reached"},
		{"one event", time.Minute, 1, connect.NewError(connect.CodeUnavailable, errors.New("refused")), "can't be reached"},
		{"wrong token", time.Minute, 40_000, wireError(connect.CodeUnauthenticated, "no"), "until the deployment is fixed"},
		{"wrong token and one event", time.Minute, 1, wireError(connect.CodeUnauthenticated, "no"), "until the deployment is fixed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := newMemoryInbox(test.events)
			var mu sync.Mutex
			var away bool
			var calls []time.Time // while it is away
			log := inBubble(t, in, func(context.Context) error {
				mu.Lock()
				failing := away
				if failing {
					calls = append(calls, time.Now())
				}
				mu.Unlock()
				if failing {
					time.Sleep(80 * time.Millisecond)
					return test.err
				}
				time.Sleep(answerTime)
				return nil
			}, func(t *testing.T) {
				setAway := func(to bool) {
					mu.Lock()
					defer mu.Unlock()
					away = to
				}
				setAway(true)
				time.Sleep(test.outage)
				setAway(false)
				back := time.Now()
				if got := in.countUntried(); got != 0 {
					t.Errorf("%d rows were written back untried, want none", got)
				}
				before := in.countForwarded()
				time.Sleep(3 * time.Second)
				if got, want := in.countForwarded()-before, min(test.events, 2*fullRate); got < want {
					t.Errorf("%d events were forwarded within 3 s of the recovery, want at least %d", got, want)
				}
				for i := 1; i < len(calls); i++ {
					if gap := calls[i].Sub(calls[i-1]); gap > 1100*time.Millisecond {
						t.Errorf("no call for %v at %v before the recovery", gap, back.Sub(calls[i]))
					}
				}
				// The outage is noticed in the first second.
				late := 0
				for _, at := range calls {
					if at.Sub(calls[0]) > 5*time.Second {
						late++
					}
				}
				if most := int(test.outage.Seconds()) * 8; late > most {
					t.Errorf("%d calls while ticketsvc was known to be away, want at most %d", late, most)
				}
			})
			text := strings.Join(log, "\n")
			// Once a minute a line reports that calls fail.
			if len(log) > 3+int(test.outage.Minutes()) || !strings.Contains(text, test.want) ||
				!strings.Contains(log[len(log)-1], "forwarding resumed") {
				t.Errorf("log, want lines that calls fail, one with %q, and last that forwarding resumed:\n%s", test.want, text)
			}
			in.checkUnharmed(t)
		})
	}
}

// TestForwarder_flapping has outages that follow one another. Few are logged, but the last line is right.
func TestForwarder_flapping(t *testing.T) {
	t.Parallel()
	for last, want := range map[bool]string{true: "forwarding is paused", false: "forwarding resumed"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			in := newMemoryInbox(100 * fullRate)
			var away atomic.Bool
			log := inBubble(t, in, func(ctx context.Context) error {
				if away.Load() {
					return refused(ctx)
				}
				time.Sleep(2 * answerTime)
				return nil
			}, func(*testing.T) {
				for range 10 {
					away.Store(true)
					time.Sleep(time.Second)
					away.Store(false)
					time.Sleep(1500 * time.Millisecond)
				}
				away.Store(last)
				time.Sleep(12 * time.Second)
			})
			text := strings.Join(log, "\n")
			if len(log) > 11 || !strings.Contains(log[len(log)-1], want) {
				t.Errorf("%d log lines, want at most 11 in 37 s, and last that %s:\n%s", len(log), want, text)
			}
			if len(log) < 3 || !strings.Contains(log[1], "forwarding is paused") || !strings.Contains(log[2], "forwarding resumed") {
				t.Errorf("log, want first that calls fail, then the first pause, then its end:\n%s", text)
			}
		})
	}
}

func TestForwarder_stopDuringOutage(t *testing.T) {
	t.Parallel()
	const events = 3000
	in := newMemoryInbox(events)
	var claimed int
	inBubble(t, in, refused, func(*testing.T) { time.Sleep(5 * time.Second) }, func(t *testing.T) {
		// Deliveries that were tried are due within 200 ms.
		time.Sleep(time.Second)
		for more := true; more; {
			deliveries, err := in.Claim(t.Context(), time.Now(), time.Second, events)
			if err != nil {
				t.Error(err)
			}
			claimed += len(deliveries)
			more = len(deliveries) > 0
		}
	})
	if claimed != events {
		t.Errorf("%d deliveries can be claimed after the stop, want all %d", claimed, events)
	}
	in.checkUnharmed(t)
}

// checkUnharmed checks that no delivery lost an attempt, or is dead.
func (i *memoryInbox) checkUnharmed(t *testing.T) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, row := range i.rows {
		if row.delivery.Attempts != 0 || row.state == inbox.Dead {
			t.Errorf("delivery %d is %v after %d attempts: %s", id, row.state, row.delivery.Attempts, row.delivery.Reason)
		}
	}
	if i.lost != 0 {
		t.Errorf("%d outcomes came after the lease was lost", i.lost)
	}
}

func (i *memoryInbox) countForwarded() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.forwarded
}

func (i *memoryInbox) countUntried() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.untried
}

// TestForwarder_callsThatHangHoldUpNoOthers has a load balancer that picks one of two replicas for each call, and a replica that never
// answers.
func TestForwarder_callsThatHangHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{20, 50} {
		t.Run(fmt.Sprint(rate, " a second"), func(t *testing.T) {
			t.Parallel()
			in := newMemoryInbox(0)
			var calls atomic.Int64
			inBubble(t, in, func(ctx context.Context) error {
				if calls.Add(1)%2 == 0 {
					<-ctx.Done()
					return connect.NewError(connect.CodeDeadlineExceeded, ctx.Err())
				}
				time.Sleep(5 * time.Millisecond)
				return nil
			}, func(t *testing.T) {
				forwarded, since, longest := 0, time.Now(), time.Duration(0)
				for range 60 * rate {
					in.add(1)
					time.Sleep(time.Second / time.Duration(rate))
					if n := in.countForwarded(); n != forwarded {
						forwarded, since = n, time.Now()
					}
					longest = max(longest, time.Since(since))
				}
				if longest > time.Second {
					t.Errorf("no event was forwarded for %v, want at most 1 s", longest)
				}
			})
		})
	}
}
