package rpc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

func TestACallHasADeadlineWhateverItsCallerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := rpc.Bounded(rpc.MaxCallTime)(func(ctx context.Context, _ connect.AnyRequest) (connect.AnyResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		begin := time.Now()
		if _, err := call(t.Context(), nil); err != context.DeadlineExceeded || time.Since(begin) != rpc.MaxCallTime {
			t.Errorf("without a deadline: %v after %v, want context.DeadlineExceeded after %v", err, time.Since(begin), rpc.MaxCallTime)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if _, err := call(ctx, nil); err != context.DeadlineExceeded || time.Since(begin) != time.Second {
			t.Errorf("with a deadline of a second: %v after %v", err, time.Since(begin))
		}
	})
}

func TestACallEndsAtItsDeadlineAndSoDoesItsWork(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			worked := make(chan error, 2)
			s := mustServe(t, stubStore{call: func(ctx context.Context) error {
				<-ctx.Done()
				worked <- ctx.Err()
				return ctx.Err()
			}})
			c := newClient(t, s, protocol)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := c.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: "t"}); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
				t.Errorf("reading: %v, want DEADLINE_EXCEEDED", err)
			}
			select {
			case err := <-worked:
				// Which of the two is first depends on who looks at the clock first: the caller then hangs up.
				if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
					t.Errorf("the store's work ended with %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("the store still works, ten seconds after the deadline")
			}
		})
	}
}

// TestRecordingGoesOnAfterTheDeadline has a deadline pass while an event is being written: whether it is recorded is not for the deadline
// to decide.
func TestRecordingGoesOnAfterTheDeadline(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			release, ended := make(chan struct{}), make(chan error, 1)
			s := mustServe(t, stubStore{call: func(ctx context.Context) error {
				<-release
				ended <- ctx.Err()
				return nil
			}})
			c := newClient(t, s, protocol)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := c.TicketCreated(ctx, created("e", "t", 1)); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
				t.Errorf("recording: %v, want DEADLINE_EXCEEDED", err)
			}
			close(release)
			if err := <-ended; err != nil {
				t.Errorf("the commit was told to end: %v", err)
			}
		})
	}
}
