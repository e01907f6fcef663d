package rpc_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

func TestWithCallTimeout_callersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := rpc.Bounded(rpc.MaxCallTime)(func(ctx context.Context, _ connect.AnyRequest) (connect.AnyResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		begin := time.Now()
		if _, err := call(t.Context(), nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != rpc.MaxCallTime {
			t.Errorf("without a deadline: %v after %v, want context.DeadlineExceeded after %v", err, time.Since(begin), rpc.MaxCallTime)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if _, err := call(ctx, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("with a deadline of a second: %v after %v", err, time.Since(begin))
		}
	})
}

func TestWithCallTimeout_endsTheWork(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			began, worked := make(chan struct{}, 64), make(chan error, 64)
			s := mustServe(t, stubStore{call: func(ctx context.Context) error {
				began <- struct{}{}
				<-ctx.Done()
				worked <- ctx.Err()
				return ctx.Err()
			}})
			c := newClient(t, s, protocol)
			passDeadline(t, began, func(ctx context.Context) error {
				_, err := c.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: "t"})
				return err
			})
			// Either error can come first: the caller may notice the deadline first, and then it disconnects.
			if err := <-worked; !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
				t.Errorf("the store's work ended with %v", err)
			}
		})
	}
}

// TestTicketCreated_goesOnAfterTheDeadline has a deadline that passes while an event is being written. The deadline must not decide whether
// the event is recorded.
func TestTicketCreated_goesOnAfterTheDeadline(t *testing.T) {
	t.Parallel()
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			began, release, ended := make(chan struct{}, 64), make(chan struct{}), make(chan error, 64)
			s := mustServe(t, stubStore{call: func(ctx context.Context) error {
				began <- struct{}{}
				<-release
				ended <- ctx.Err()
				return nil
			}})
			c := newClient(t, s, protocol)
			goOn := sync.OnceFunc(func() { close(release) })
			defer goOn()
			passDeadline(t, began, func(ctx context.Context) error {
				_, err := c.TicketCreated(ctx, created("e", "t", 1))
				return err
			})
			goOn()
			if err := <-ended; err != nil {
				t.Errorf("the commit was cancelled: %v", err)
			}
		})
	}
}

// passDeadline makes a call whose deadline passes after the store's work has begun. On a busy machine a short deadline can pass before
// that, so passDeadline repeats the call with longer deadlines until began receives.
func passDeadline(t *testing.T, began <-chan struct{}, call func(context.Context) error) {
	t.Helper()
	for timeout := 50 * time.Millisecond; ; timeout *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		err := call(ctx)
		cancel()
		if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
			t.Fatalf("the call ended with %v, want DEADLINE_EXCEEDED", err)
		}
		select {
		case <-began:
			return
		default:
		}
	}
}
