package forwarder_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/gateway/internal/forwarder"
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/samples"
)

// BenchmarkCall measures one call to ticketsvc with 256 in flight, for each kind of call. Client and server are in this process.
func BenchmarkCall(b *testing.B) {
	const inFlight = 256
	body, err := samples.Files.ReadFile("created-full.json")
	if err != nil {
		b.Fatal(err)
	}
	request, err := event.Map(body, time.Unix(0, 0), 0)
	if err != nil {
		b.Fatal(err)
	}
	newServer := func(b *testing.B, http2 bool) string {
		server := httptest.NewUnstartedServer(newTicketsvc(nil).handler())
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetHTTP1(!http2)
		server.Config.Protocols.SetUnencryptedHTTP2(http2)
		server.Start()
		b.Cleanup(server.Close)
		return server.URL
	}
	overHTTP2 := func(b *testing.B, options ...connect.ClientOption) ticketv1connect.TicketEventServiceClient {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		b.Cleanup(transport.CloseIdleConnections)
		return ticketv1connect.NewTicketEventServiceClient(&http.Client{Transport: transport}, newServer(b, true), options...)
	}
	for name, newClient := range map[string]func(*testing.B) ticketv1connect.TicketEventServiceClient{
		"Connect over HTTP 1.1": func(b *testing.B) ticketv1connect.TicketEventServiceClient {
			return forwarder.NewClient(newServer(b, false), forwarder.ClientOptions{})
		},
		"Connect over HTTP 2": func(b *testing.B) ticketv1connect.TicketEventServiceClient { return overHTTP2(b) },
		"gRPC over HTTP 2":    func(b *testing.B) ticketv1connect.TicketEventServiceClient { return overHTTP2(b, connect.WithGRPC()) },
	} {
		b.Run(name, func(b *testing.B) {
			client := newClient(b)
			group, ctx := errgroup.WithContext(context.Background())
			group.SetLimit(inFlight)
			for b.Loop() {
				group.Go(func() error {
					_, err := client.TicketCreated(ctx, request.Created)
					return err
				})
			}
			if err := group.Wait(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

// BenchmarkForwarder measures the forwarder itself, with an inbox in memory and a ticketsvc that answers at once.
func BenchmarkForwarder(b *testing.B) {
	in := newMemoryInbox(b.N)
	in.wake = make(chan struct{}, 1)
	var events atomic.Int64
	done := make(chan struct{})
	add := func(n int) error {
		if events.Add(int64(n)) == int64(b.N) {
			close(done)
		}
		return nil
	}
	f := forwarder.New(in, &batchClient{
		client: func(context.Context) error { return add(1) },
		record: func(_ context.Context, r *ticketv1.RecordTicketEventsRequest) error { return add(len(r.GetEvents())) },
	}, forwarder.Options{CallTimeout: 5 * time.Second, MaxAttempts: 10, Now: time.Now, Random: func() float64 { return 0 },
		Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(b.Context())
	b.ReportAllocs()
	b.ResetTimer()
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	<-done
	b.StopTimer()
	cancel()
	running.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
