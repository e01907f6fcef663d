package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
)

const (
	// streamsPerConnection is how many watchers share a connection.
	streamsPerConnection = 100
	// toldTimeout bounds the wait for what watchers are to be told.
	toldTimeout = time.Minute
)

// fleet is a number of watchers, over HTTP/2 in cleartext.
type fleet struct {
	cancel  context.CancelCauseFunc
	ctx     context.Context
	clients []*http.Client
	// watching are the watchers that run, and ready those that have yet to hear that they are in step.
	watching, ready sync.WaitGroup
	watchers        []watcher
	// messages is how many events all of them were told of, and told receives when there are more.
	messages atomic.Int64
	told     chan struct{}
}

// watcher is one of them.
type watcher struct {
	receipts []receipt
	// token is that of the last message.
	token string
}

// receipt is that a watcher was told of an event.
type receipt struct {
	event int
	at    time.Time
}

// startFleet starts a watcher for each filter, and returns once all are in step. Each goes on from the token, which is one of its filter;
// without one it begins with all tickets, so start it then while there are few.
func startFleet(ctx context.Context, url string, filters []*ticketv1.TicketFilter, token string) (*fleet, error) {
	f := &fleet{watchers: make([]watcher, len(filters)), told: make(chan struct{}, 1)}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	var client ticketv1connect.TicketServiceClient
	for i, filter := range filters {
		if i%streamsPerConnection == 0 {
			transport := &http.Transport{Protocols: &http.Protocols{}}
			transport.Protocols.SetUnencryptedHTTP2(true)
			f.clients = append(f.clients, &http.Client{Transport: transport})
			client = ticketv1connect.NewTicketServiceClient(f.clients[len(f.clients)-1], url)
		}
		f.ready.Add(1)
		f.watching.Go(func() {
			inStep := sync.OnceFunc(f.ready.Done)
			defer inStep()
			if err := f.watch(client, &ticketv1.WatchTicketsRequest{Filter: filter, ResumeToken: token}, &f.watchers[i], inStep); err != nil {
				f.cancel(err)
			}
		})
	}
	f.ready.Wait()
	if f.ctx.Err() != nil {
		return nil, errors.Join(context.Cause(f.ctx), f.close())
	}
	return f, nil
}

// errClosed says that the watchers are no longer wanted.
var errClosed = errors.New("the watchers are closed")

func (f *fleet) watch(client ticketv1connect.TicketServiceClient, request *ticketv1.WatchTicketsRequest, w *watcher, inStep func()) error {
	stream, err := client.WatchTickets(f.ctx, request)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		at := time.Now()
		message := stream.Msg()
		w.token = message.GetResumeToken()
		if message.GetHeartbeat() != nil {
			inStep()
		}
		if event := message.GetChange().GetEvent(); event != nil {
			number, err := eventNumber(event.GetEventId())
			if err != nil {
				return err
			}
			w.receipts = append(w.receipts, receipt{event: number, at: at})
			f.messages.Add(1)
			select {
			case f.told <- struct{}{}:
			default:
			}
		}
	}
	if err := stream.Err(); connect.CodeOf(err) != connect.CodeCanceled {
		return fmt.Errorf("a watcher's stream ended: %v", err)
	}
	return nil
}

// wait returns once the watchers have been told of that many events, all together.
func (f *fleet) wait(ctx context.Context, messages int) error {
	ctx, cancel := context.WithTimeout(ctx, toldTimeout)
	defer cancel()
	for int(f.messages.Load()) < messages {
		select {
		case <-f.told:
		case <-f.ctx.Done():
			return context.Cause(f.ctx)
		case <-ctx.Done():
			return fmt.Errorf("watchers were told of %d events, and %d are due: %w", f.messages.Load(), messages, ctx.Err())
		}
	}
	return nil
}

// close ends the watchers. The error is why they ended before.
func (f *fleet) close() error {
	f.cancel(errClosed)
	f.watching.Wait()
	for _, client := range f.clients {
		client.CloseIdleConnections()
	}
	if err := context.Cause(f.ctx); !errors.Is(err, errClosed) {
		return err
	}
	return nil
}

// currentToken returns a token of everything, to go on from what is there now.
func currentToken(ctx context.Context, url string) (string, error) {
	f, err := startFleet(ctx, url, []*ticketv1.TicketFilter{nil}, "")
	if err != nil {
		return "", err
	}
	err = f.close()
	return f.watchers[0].token, err
}

// receipts returns what all watchers were told, after close.
func (f *fleet) receipts() (all []receipt) {
	for i := range f.watchers {
		all = append(all, f.watchers[i].receipts...)
	}
	return all
}
