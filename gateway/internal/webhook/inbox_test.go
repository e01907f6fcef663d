package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/webhook"
)

// inboxFunc is an inbox of a test.
type inboxFunc func(context.Context, inbox.Incoming) (inbox.Action, error)

func (f inboxFunc) Accept(ctx context.Context, incoming inbox.Incoming) (inbox.Action, error) {
	return f(ctx, incoming)
}

func withInbox(f inboxFunc) func(*setup) { return func(s *setup) { s.inbox = f } }

// A delivery that would be refused must be kept too. Until it is kept, only an answer that asks for a retry is right.
func signedRequests() map[string]request {
	return map[string]request{
		"a good delivery":      signed(bodyOf("e1")),
		"a stale one":          signed(bodyOf("e1")).with(timestampHeader, "1"),
		"a malformed one":      signed("{"),
		"one of unknown kind":  signed(unexpectedEvent),
		"one of 100 kilobytes": signed(sized(100_000)),
	}
}

func TestHandler_inboxFails(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{
		"full":        inbox.ErrBusy,
		"full, by":    errors.Join(inbox.ErrBusy, errors.New("queue is full")),
		"broken":      inbox.ErrUnavailable,
		"broken, by":  fmt.Errorf("%w: disk is full", inbox.ErrUnavailable),
		"its own bug": errors.New("no such column"),
		// The inbox's own contexts are not the sender's.
		"cut off":   context.Canceled,
		"timed out": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t, withInbox(func(context.Context, inbox.Incoming) (inbox.Action, error) { return 0, failure }))
			t.Run("all kinds", func(t *testing.T) {
				for kind, r := range signedRequests() {
					t.Run(kind, func(t *testing.T) {
						t.Parallel()
						d.follow(t, step{r, tryLater}, step{r, tryLater})
					})
				}
			})
			// A full inbox recovers by itself, but a broken one needs an operator. The broken one is logged once, not for each delivery of an
			// outage.
			if logged := strings.Count(d.log.String(), "level=ERROR"); logged > 1 || logged == 1 == errors.Is(failure, inbox.ErrBusy) {
				t.Errorf("logged as an error %d times", logged)
			}
		})
	}
}

func TestHandler_storeIsClosed(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	for kind, r := range signedRequests() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d.follow(t, step{r, tryLater}, step{unsigned("{}"), testEvent}, step{r.with(signatureHeader, sign("wrong", "")), unauthorized})
			d.wantRows(t)
		})
	}
}

func TestHandler_inboxIsStopped(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	if err := d.inbox.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for kind, r := range signedRequests() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			d.follow(t, step{r, tryLater})
			d.wantRows(t)
		})
	}
}

// failSlowly is an inbox on a slow disk that then fails. Nothing is ever kept, so nothing may ever be acknowledged.
func failSlowly(ctx context.Context, _ inbox.Incoming) (inbox.Action, error) {
	select {
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-time.After(100 * time.Millisecond):
		return 0, inbox.ErrUnavailable
	}
}

// A sender may close its side of the connection and still wait for the answer. net/http then ends the request's context.
func TestHandler_halfClosedSender_getsNoFalseSuccess(t *testing.T) {
	t.Parallel()
	d := mustServe(t, withInbox(failSlowly))
	for kind, r := range signedRequests() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := d.dial(t)
			c.mustWrite(t, r.String())
			c.mustCloseWrite(t)
			// Closing the connection without an answer would be right as well.
			if got, err := c.read("POST"); err == nil && got.status() != "503" {
				t.Errorf("nothing is kept, and the answer is:\n%s\n%s", got.Head, got.Body)
			}
		})
	}
}

func TestHandler_halfClosedSender_isAnsweredAfterTheCommit(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	for i := range 50 { // it is random whether the end of sending is noticed before the answer is made
		id := fmt.Sprint("e", i)
		c := d.dial(t)
		c.mustWrite(t, signed(bodyOf(id)).String())
		c.mustCloseWrite(t)
		got, err := c.read("POST")
		if err != nil || got.status() != "200" {
			continue // not acknowledged, so the sender will retry it
		}
		kept := d.count(t, "SELECT count(*) FROM deliveries WHERE event_id = ? AND state = ?", id, inbox.Pending)
		if got.Body != success.Body || kept != 1 {
			t.Fatalf("acknowledged with %q, while %d are kept", got.Body, kept)
		}
	}
}

// The number of large bodies that are read at the same time is bounded. Senders that leave must not use up that number for good.
func TestHandler_releasesMemoryOfSendersThatDisconnected(t *testing.T) {
	t.Parallel()
	const senders = 200
	large, tooLarge := signed(sized(20_000)), signed(sized(30_001)).chunked(30_001)
	for name, leave := range map[string]func(*testing.T, *client){
		"before it is kept": func(t *testing.T, c *client) { c.mustWrite(t, large.String()) },
		"half way":          func(t *testing.T, c *client) { c.mustWrite(t, large.String()[:19_000]) },
		"wrongly signed": func(t *testing.T, c *client) {
			c.mustWrite(t, large.with(signatureHeader, sign("wrong", "")).String())
		},
		"over the limit": func(t *testing.T, c *client) {
			c.mustWrite(t, tooLarge.String())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var healthy atomic.Bool
			d := mustServe(t, withInbox(func(ctx context.Context, a inbox.Incoming) (inbox.Action, error) {
				if healthy.Load() {
					return inbox.Insert, nil
				}
				return failSlowly(ctx, a)
			}), func(s *setup) { s.options.MaxBodyBytes = 30_000 })
			clients := make(chan *client, senders)
			for range senders {
				clients <- d.dial(t)
			}
			close(clients)
			var group sync.WaitGroup
			for range 16 {
				group.Go(func() {
					for c := range clients {
						leave(t, c)
						if err := c.Close(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			group.Wait()
			d.connections.waitForDialed()
			healthy.Store(true)
			d.follow(t, step{large, success}, step{large.chunked(5000), answers(200, "success", "Connection: close")})
		})
	}
}

// TestHandler_memoryIsUsedUp holds as many bodies as the memory allows. The answer to one more says when to retry.
func TestHandler_memoryIsUsedUp(t *testing.T) {
	t.Parallel()
	const atATime = 16
	var d *harness
	entered, proceed := make(chan struct{}, atATime+1), make(chan struct{})
	d = mustServe(t, withInbox(func(ctx context.Context, a inbox.Incoming) (inbox.Action, error) {
		entered <- struct{}{}
		<-proceed
		return d.inbox.Accept(ctx, a)
	}), func(s *setup) { s.handler = func(h *webhook.Handler) { h.SetMemory(atATime * 16 << 10) } })
	large := func(id string) request { return signed(eventWith(id, `"x":"`+strings.Repeat("x", 100_000)+`"`)) }

	clients := make([]*client, atATime)
	for i := range clients {
		clients[i] = d.dial(t)
		clients[i].mustWrite(t, signed(bodyOf(fmt.Sprint("e", i))).String())
	}
	for range clients {
		<-entered
	}
	noMemory := answers(503, "Try again later", "Retry-After: 1", "Connection: close")
	d.follow(t, step{signed(bodyOf("one too many")), noMemory}, step{large("one too many"), noMemory})
	if log := d.log.String(); !strings.Contains(log, `msg="memory for bodies is used up, so deliveries are refused" count=1 `) {
		t.Errorf("the log does not say so:\n%s", log)
	}
	close(proceed)
	for _, c := range clients {
		if diff := cmp.Diff(success, c.answer(t, "POST")); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
	}
	d.follow(t, step{signed(bodyOf("room again")), success}, step{large("room for large ones again"), success})
	if kept := d.count(t, "SELECT count(*) FROM deliveries WHERE state = ?", inbox.Pending); kept != atATime+2 {
		t.Errorf("%d are kept, want %d", kept, atATime+2)
	}
}

// TestHandler_panic has an inbox that panics with personal data.
func TestHandler_panic(t *testing.T) {
	t.Parallel()
	d := mustServe(t, withInbox(func(context.Context, inbox.Incoming) (inbox.Action, error) { panic("Heizung im Bad kalt") }))
	d.follow(t, step{signed(bodyOf("e")), tryLater}, step{signed(bodyOf("e")), tryLater})
}
