package rpc_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// BenchmarkWatchers has watchers, over 8 connections, of events that are recorded as fast as possible, ten at a time. It measures the
// number of messages per second, and the time from the call that records an event until a watcher has the event.
func BenchmarkWatchers(b *testing.B) {
	for _, watchers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("%d", watchers), func(b *testing.B) { benchmarkWatchers(b, watchers) })
	}
}

func benchmarkWatchers(b *testing.B, watchers int) {
	const connections, batch = 8, 10
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "tickets.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	r := &replica{store: store}
	if err := r.start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.stop(); err != nil {
			b.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(b.Context())
	b.Cleanup(cancel)
	var clients [connections]ticketv1connect.TicketServiceClient
	for i := range clients {
		transport := &http.Transport{Protocols: &http.Protocols{}}
		transport.Protocols.SetUnencryptedHTTP2(true)
		b.Cleanup(transport.CloseIdleConnections)
		clients[i] = ticketv1connect.NewTicketServiceClient(&http.Client{Transport: transport}, r.url, connect.WithGRPC())
	}
	committed := make([]time.Time, b.N*batch)
	var inStep, watching sync.WaitGroup
	var mu sync.Mutex
	var lags []time.Duration
	for i := range watchers {
		inStep.Add(1)
		watching.Go(func() {
			stream, err := clients[i%connections].WatchTickets(ctx, &ticketv1.WatchTicketsRequest{})
			if err != nil || !stream.Receive() {
				b.Error(err)
				inStep.Done()
				return
			}
			defer func() { _ = stream.Close() }()
			inStep.Done()
			own := make([]time.Duration, 0, len(committed))
			for len(own) < len(committed) && stream.Receive() {
				if e := stream.Msg().GetChange().GetEvent(); e != nil {
					own = append(own, time.Since(committed[e.GetSequence()-1]))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			lags = append(lags, own...)
		})
	}
	inStep.Wait()
	begin := time.Now()
	b.ResetTimer()
	for i := range b.N {
		changes := make([]ticket.Change, batch)
		for j := range changes {
			n := i*batch + j
			changes[j] = ticket.Change{EventID: fmt.Sprint("e", n), Name: ticket.Created, TicketID: fmt.Sprint("t", n%1000),
				OccurTime: tickettest.At(int64(n)), Fields: tickettest.Named("title", "description", "status_text"),
				Values: ticket.Ticket{Title: "Heizung im Bad kalt",
					Description: fmt.Sprintf("%01000d", n), StatusText: "waiting-for-agent", Attributes: map[string]string{"sortHash": `"x"`}}}
			committed[n] = time.Now()
		}
		if _, err := store.Append(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
	}
	watching.Wait()
	b.StopTimer()
	cancel()
	slices.Sort(lags)
	if len(lags) != watchers*len(committed) {
		b.Fatalf("%d messages came, want %d", len(lags), watchers*len(committed))
	}
	b.ReportMetric(float64(lags[len(lags)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(lags[len(lags)*99/100].Microseconds())/1000, "ms-p99")
	b.ReportMetric(float64(len(lags))/time.Since(begin).Seconds(), "messages/s")
}

// BenchmarkRecordEvents records the events of [tickettest.ProviderChange] over HTTP/1.1, as the gateway does: each in a call of its own,
// with 64 calls in flight, or 256 in one call, with 4 calls in flight. The processor time includes that of the callers. A store that does
// nothing shows the cost of the calls alone.
func BenchmarkRecordEvents(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) ticket.Store{
		"no store": func(*testing.B) ticket.Store { return stubStore{call: func(context.Context) error { return nil }} },
		"SQLite":   func(b *testing.B) ticket.Store { return mustOpenStore(b) },
	} {
		b.Run(name+"/single", func(b *testing.B) {
			benchmarkRecordEvents(b, open(b), 64, 1, func(ctx context.Context, c client, events []*ticketv1.TicketEventRequest) error {
				if created := events[0].GetCreated(); created != nil {
					_, err := c.TicketCreated(ctx, created)
					return err
				}
				_, err := c.TicketUpdated(ctx, events[0].GetUpdated())
				return err
			})
		})
		b.Run(name+"/256", func(b *testing.B) {
			benchmarkRecordEvents(b, open(b), 4, 256, func(ctx context.Context, c client, events []*ticketv1.TicketEventRequest) error {
				_, err := c.RecordTicketEvents(ctx, &ticketv1.RecordTicketEventsRequest{Events: events})
				return err
			})
		})
	}
}

func benchmarkRecordEvents(b *testing.B, store ticket.Store, callers, size int,
	call func(context.Context, client, []*ticketv1.TicketEventRequest) error,
) {
	s := mustServe(b, store)
	c := newClient(b, s, "Connect", uncompressed)
	c.http.Transport.(*http.Transport).MaxIdleConnsPerHost = callers
	before, err := process.ReadUsage(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	var next atomic.Int64
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			for {
				end := int(next.Add(int64(size)))
				begin := end - size
				if begin >= b.N {
					return
				}
				var events []*ticketv1.TicketEventRequest
				for i := begin; i < min(end, b.N); i++ {
					events = append(events, eventOf(tickettest.ProviderChange(0, i)))
				}
				if err := call(b.Context(), c, events); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	calling.Wait()
	b.StopTimer()
	after, err := process.ReadUsage(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((after.CPU-before.CPU).Microseconds())/float64(b.N), "cpu-µs/event")
}

// eventOf returns the event of a change.
func eventOf(c ticket.Change) *ticketv1.TicketEventRequest {
	event := &ticketv1.EventMetadata{EventId: c.EventID, OccurTime: &timestamppb.Timestamp{Seconds: c.OccurTime.Seconds}}
	t := ticketcodec.FromTicket(&c.Values)
	t.TicketId = c.TicketID
	mask := &fieldmaskpb.FieldMask{Paths: c.ChangedFields().FieldNames()}
	if c.Name == ticket.Created {
		return &ticketv1.TicketEventRequest{Request: &ticketv1.TicketEventRequest_Created{
			Created: &ticketv1.TicketCreatedRequest{Event: event, Ticket: t, FieldMask: mask}}}
	}
	return &ticketv1.TicketEventRequest{Request: &ticketv1.TicketEventRequest_Updated{
		Updated: &ticketv1.TicketUpdatedRequest{Event: event, Ticket: t, FieldMask: mask}}}
}
