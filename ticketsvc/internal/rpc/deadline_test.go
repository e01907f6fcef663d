package rpc_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

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
