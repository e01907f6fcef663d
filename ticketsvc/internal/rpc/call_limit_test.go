package rpc_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc/limits"
)

// TestCallLimit_oneCaller has one token that makes far more calls than the service works on at once. The service must work on another
// token's call at the same time, and must answer all calls in the end.
func TestCallLimit_oneCaller(t *testing.T) {
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
	for range rpc.MaxRunningCalls()/2 - 1 {
		if <-begun != greedy {
			t.Fatal("somebody else called")
		}
	}
	call("admin")
	if <-begun == greedy {
		t.Errorf("the service works on more than %d calls of one caller", rpc.MaxRunningCalls()/2)
	}
	close(letGo)
	for range calls - rpc.MaxRunningCalls()/2 {
		<-begun
	}
	calling.Wait()
}

// TestCallLimit_requestsOfOneConnection has many calls on one HTTP/2 connection. Their requests are together larger than the connection's
// flow-control window. Calls that wait for their turn must not block the requests of calls whose turn it is.
func TestCallLimit_requestsOfOneConnection(t *testing.T) {
	t.Parallel()
	s := mustServe(t, stubStore{call: func(context.Context) error { return nil }})
	c := newClient(t, s, "gRPC")
	request := &ticketv1.BatchGetTicketsRequest{}
	for i := range 100 {
		request.TicketIds = append(request.TicketIds, fmt.Sprintf("%036d", i))
	}
	if _, err := c.BatchGetTickets(t.Context(), request); err != nil { // All other calls use the connection of this one.
		t.Fatal(err)
	}
	var calling sync.WaitGroup
	for range 200 {
		calling.Go(func() {
			if _, err := c.BatchGetTickets(t.Context(), request); err != nil {
				t.Error(err)
			}
		})
	}
	calling.Wait()
}
