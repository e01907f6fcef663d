package rpc_test

import (
	"testing"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
)

// TestJSONIsWrittenIntoBuffersThatThereAre is for streams: without that each message costs memory, which Connect's pool keeps for a while.
func TestJSONIsWrittenIntoBuffersThatThereAre(t *testing.T) {
	t.Parallel()
	codec, ok := rpc.JSONCodec.(interface {
		MarshalAppend(to []byte, message any) ([]byte, error)
	})
	if !ok {
		t.Fatal("Connect gives it no buffers")
	}
	buffer := append(make([]byte, 0, 100), "before "...)
	got, err := codec.MarshalAppend(buffer, &ticketv1.Ticket{TicketId: "t"})
	if err != nil || string(got) != `before {"ticketId":"t"}` || &got[0] != &buffer[0] {
		t.Errorf("%q, %v, want that it is behind what is in the buffer", got, err)
	}
	if _, err := codec.MarshalAppend(nil, "no message"); err == nil {
		t.Error("something else than a message is written")
	}
}
