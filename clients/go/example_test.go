package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// This example keeps a copy in sync until ctx ends, and then prints the copy.
func ExampleFollower() {
	ctx, stop := context.WithCancel(context.Background())
	url, closeServer := serveTickets(stop)
	defer closeServer()

	tickets, removeCopy := openTemporaryCopy()
	defer removeCopy()
	follower := Follower{
		Client:  NewClient(url),
		Token:   func() (string, error) { return "a-token-of-the-scope-read", nil },
		Silence: time.Minute,
		Copy:    tickets,
		Log:     slog.New(slog.DiscardHandler),
	}
	if err := follower.Follow(ctx); err != nil {
		fmt.Println(err)
	}

	for ticket, err := range tickets.All(context.Background()) {
		fmt.Println(ticket.GetTicketId(), ticket.GetTitle(), err)
	}
	// Output:
	// t1 The heating is cold <nil>
	// t2 The lift is stuck <nil>
}

// This example applies two messages of a stream: a changed ticket, and the removal of the ticket.
func ExampleCopy_Apply() {
	tickets, removeCopy := openTemporaryCopy()
	defer removeCopy()
	ctx := context.Background()
	removal := &ticketv1.WatchTicketsResponse{ResumeToken: "token 2", Message: &ticketv1.WatchTicketsResponse_Removed{
		Removed: &ticketv1.TicketRemoved{TicketId: "t1", Reason: ticketv1.TicketRemoved_REASON_ERASED}}}

	for _, message := range []*ticketv1.WatchTicketsResponse{opened("token 1", "t1", "The heating is cold"), removal} {
		if err := tickets.Apply(ctx, message); err != nil {
			fmt.Println(err)
		}
		token, _ := tickets.Token(ctx)
		ticket, err := tickets.Get(ctx, "t1")
		fmt.Printf("%s: title %q, not found: %v\n", token, ticket.GetTitle(), errors.Is(err, ErrNotFound))
	}
	// Output:
	// token 1: title "The heating is cold", not found: false
	// token 2: title "", not found: true
}

// openTemporaryCopy returns a new copy, and a function that removes it.
func openTemporaryCopy() (tickets *Copy, remove func()) {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	tickets, err = OpenCopy(context.Background(), filepath.Join(folder, "tickets.db"))
	if err != nil {
		panic(err)
	}
	return tickets, func() {
		if err := errors.Join(tickets.Close(), os.RemoveAll(folder)); err != nil {
			panic(err)
		}
	}
}

// ticketsvc is a TicketService with two tickets. It calls stop when a client resumes after these tickets.
type ticketsvc struct {
	ticketv1connect.UnimplementedTicketServiceHandler
	stop func()
}

// serveTickets starts a ticketsvc. It returns the URL, and a function that ends it.
func serveTickets(stop func()) (url string, closeServer func()) {
	mux := http.NewServeMux()
	mux.Handle(ticketv1connect.NewTicketServiceHandler(ticketsvc{stop: stop}))
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	return server.URL, server.Close
}

func (t ticketsvc) WatchTickets(_ context.Context, request *ticketv1.WatchTicketsRequest,
	stream *connect.ServerStream[ticketv1.WatchTicketsResponse],
) error {
	if request.GetResumeToken() == "token 2" {
		t.stop()
		return nil
	}
	return errors.Join(
		stream.Send(opened("token 1", "t1", "The heating is cold")),
		stream.Send(opened("token 2", "t2", "The lift is stuck")))
}

func opened(token, id, title string) *ticketv1.WatchTicketsResponse {
	return &ticketv1.WatchTicketsResponse{ResumeToken: token, Message: &ticketv1.WatchTicketsResponse_Change{
		Change: &ticketv1.TicketChange{Ticket: &ticketv1.Ticket{TicketId: id, Title: title}}}}
}
