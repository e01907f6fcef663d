package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

// deliveryTimeout bounds the wait until the watchers have received all events.
const deliveryTimeout = time.Minute

// fleet is a group of watchers, over HTTP/2 in cleartext.
type fleet struct {
	http   *http.Client
	client ticketv1connect.TicketServiceClient
	ctx    context.Context
	cancel context.CancelCauseFunc
	// watching counts the watchers that run. ready counts the watchers that have not caught up.
	watching, ready sync.WaitGroup

	// mu guards receipts and more. more is closed when another receipt is added.
	mu       sync.Mutex
	receipts []receipt
	more     chan struct{}
}

// receipt is the time when a watcher received an event.
type receipt struct {
	event int
	at    time.Time
}

// startFleet starts a watcher for each filter, and returns after all have received the existing tickets. So there should be few tickets.
func startFleet(ctx context.Context, url string, filters []*ticketv1.TicketFilter) (*fleet, error) {
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	f := &fleet{http: &http.Client{Transport: transport}, more: make(chan struct{})}
	f.client = ticketv1connect.NewTicketServiceClient(f.http, url)
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	for _, filter := range filters {
		f.ready.Add(1)
		f.watching.Go(func() {
			isReady := sync.OnceFunc(f.ready.Done)
			defer isReady()
			if err := f.watch(filter, isReady); err != nil {
				f.cancel(err)
			}
		})
	}
	f.ready.Wait()
	if f.ctx.Err() != nil {
		return nil, f.close()
	}
	return f, nil
}

func (f *fleet) watch(filter *ticketv1.TicketFilter, isReady func()) error {
	stream, err := f.client.WatchTickets(f.ctx, &ticketv1.WatchTicketsRequest{Filter: filter})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		at := time.Now()
		if stream.Msg().GetHeartbeat() != nil {
			isReady()
		}
		if event := stream.Msg().GetChange().GetEvent(); event != nil {
			number, err := eventNumber(event.GetEventId())
			if err != nil {
				return err
			}
			f.receive(receipt{event: number, at: at})
		}
	}
	if err := stream.Err(); connect.CodeOf(err) != connect.CodeCanceled {
		return fmt.Errorf("a watcher's stream ended: %w", err)
	}
	return nil
}

func (f *fleet) receive(r receipt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.receipts = append(f.receipts, r)
	close(f.more)
	f.more = make(chan struct{})
}

// wait returns after the watchers have received this number of events in total.
func (f *fleet) wait(ctx context.Context, events int) error {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	for {
		f.mu.Lock()
		received, more := len(f.receipts), f.more
		f.mu.Unlock()
		if received >= events {
			return nil
		}
		select {
		case <-more:
		case <-f.ctx.Done():
			return context.Cause(f.ctx)
		case <-ctx.Done():
			return fmt.Errorf("watchers received %d of %d events: %w", received, events, ctx.Err())
		}
	}
}

// close ends the watchers. If they had ended before, it returns the reason.
func (f *fleet) close() error {
	f.cancel(nil)
	f.watching.Wait()
	f.http.CloseIdleConnections()
	if err := context.Cause(f.ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
