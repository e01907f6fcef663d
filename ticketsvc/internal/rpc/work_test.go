package rpc_test

import (
	"context"
	"sync"
	"testing"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

// TestWork_oneCallerLeavesRoom has one token make far more calls than the service works on at once. Another one's call is worked on beside
// them, and in the end all are answered.
func TestWork_oneCallerLeavesRoom(t *testing.T) {
	t.Parallel()
	begun, letGo := make(chan limits.Caller), make(chan struct{})
	s := mustServeSecurely(t, stubStore{call: func(ctx context.Context) error {
		begun <- rpc.CallerOf(ctx)
		<-letGo
		return nil
	}}, rpc.Security{Tokens: mustCredentials(t)})
	var calling sync.WaitGroup
	call := func(token string) {
		calling.Go(func() {
			c := newClient(t, s, "Connect", connect.WithInterceptors(shows(tokens[token])))
			if _, err := c.GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "a"}); err != nil {
				t.Errorf("%s: %v", token, err)
			}
		})
	}
	const calls = 200
	for range calls {
		call("read")
	}
	greedy := <-begun
	for range rpc.MaxCallsAtWork()/2 - 1 {
		if <-begun != greedy {
			t.Fatal("somebody else called")
		}
	}
	call("admin")
	if <-begun == greedy {
		t.Errorf("the service works on more than %d calls of one caller", rpc.MaxCallsAtWork()/2)
	}
	close(letGo)
	for range calls - rpc.MaxCallsAtWork()/2 {
		<-begun
	}
	calling.Wait()
}
