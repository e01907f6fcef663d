package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

// goodTraffic is what honest callers of both services do while others attack: it delivers events, reads tickets and probes.
type goodTraffic struct {
	gateway, gatewayAdmin, ticketsvc, ticketsvcAdmin string
	client                                           *http.Client
	tickets                                          ticketv1connect.TicketServiceClient

	mu    sync.Mutex
	calls map[string]*callStatistics
	// delivered are the ids of the tickets whose large and small events were acknowledged, with the number of these.
	delivered map[string]int
}

// callStatistics are of the good calls of one kind.
type callStatistics struct {
	latencies []time.Duration
	failures  int
	// first is the error of the first failure.
	first error
}

// goodCallTimeout is longer than any wait that a service may make a caller endure, on a busy machine too.
const goodCallTimeout = time.Minute

func newGoodTraffic(t *testing.T, s *system) *goodTraffic {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: goodCallTimeout}
	t.Cleanup(client.CloseIdleConnections)
	g := &goodTraffic{
		gateway: s.gateways[0].address, gatewayAdmin: s.gateways[0].admin,
		ticketsvc: s.ticketsvcs[0].address, ticketsvcAdmin: s.ticketsvcs[0].admin,
		client: client, delivered: map[string]int{},
	}
	g.tickets = ticketv1connect.NewTicketServiceClient(client, "http://"+g.ticketsvc, connect.WithInterceptors(showing(goodToken)))
	return g
}

// run makes the good calls until ctx ends, and returns what became of them, by their kind.
func (g *goodTraffic) run(ctx context.Context) map[string]*callStatistics {
	g.calls = map[string]*callStatistics{}
	var running sync.WaitGroup
	for kind, load := range map[string]struct {
		every time.Duration
		call  func(ctx context.Context, n int) error
	}{
		"delivery":       {20 * time.Millisecond, g.deliver},
		"large delivery": {500 * time.Millisecond, g.deliverLarge},
		"GetTicket":      {20 * time.Millisecond, g.get},
		"ListTickets":    {200 * time.Millisecond, g.list},
		"WatchTickets":   {500 * time.Millisecond, g.watch},
		"probe":          {200 * time.Millisecond, g.probe},
	} {
		statistics := &callStatistics{}
		g.calls[kind] = statistics
		running.Go(func() {
			pace := time.NewTicker(load.every)
			defer pace.Stop()
			for n := 0; ; n++ {
				begin := time.Now()
				// A call that was begun is let end, so that its outcome is known.
				if err := load.call(context.WithoutCancel(ctx), n); err != nil {
					if statistics.failures++; statistics.first == nil {
						statistics.first = err
					}
				}
				statistics.latencies = append(statistics.latencies, time.Since(begin))
				select {
				case <-pace.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	running.Wait()
	return g.calls
}

// percentile returns the latency below which that share of the calls stayed.
func (c *callStatistics) percentile(share float64) time.Duration {
	if len(c.latencies) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(c.latencies))
	return sorted[min(int(float64(len(sorted))*share), len(sorted)-1)]
}

func (g *goodTraffic) deliver(ctx context.Context, n int) error {
	return g.post(ctx, fmt.Sprintf("good-%d", n%50), "The heating is cold.")
}

func (g *goodTraffic) deliverLarge(ctx context.Context, n int) error {
	return g.post(ctx, fmt.Sprintf("good-large-%d", n%3), strings.Repeat("The heating is cold. ", 900_000/21))
}

// post delivers one event of a ticket, which has to be acknowledged.
func (g *goodTraffic) post(ctx context.Context, ticketID, description string) error {
	g.mu.Lock()
	g.delivered[ticketID]++
	event := fmt.Sprintf("%s-%d", ticketID, g.delivered[ticketID])
	g.mu.Unlock()
	body := eventBody(event, ticketID, description)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.gateway+"/webhook", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set(simulator.SignatureHeader, simulator.Sign(secret, body))
	request.Header.Set(simulator.TimestampHeader, strconv.FormatInt(time.Now().UnixMilli(), 10))
	return expectOK(g.client.Do(request))
}

// eventBody returns a ticket.created of Allthings with that description.
func eventBody(eventID, ticketID, description string) []byte {
	return fmt.Appendf(nil, `{"event":{"id":%q,"name":"ticket.created","createdDate":%q,"urn":"urn:allthings:app:an-app:ticket:%s:*",`+
		`"data":{"id":%q,"title":"Heating","description":%q,"status":"waiting-for-agent"}}}`,
		eventID, time.Now().UTC().Format(time.RFC3339Nano), ticketID, ticketID, description)
}

func (g *goodTraffic) get(ctx context.Context, _ int) error {
	_, err := g.tickets.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: smallTicket})
	return err
}

func (g *goodTraffic) list(ctx context.Context, _ int) error {
	_, err := g.tickets.ListTickets(ctx, &ticketv1.ListTicketsRequest{Filter: &ticketv1.TicketFilter{AppIds: []string{"an-app"}}})
	return err
}

// watch begins to follow the tickets, and reads the first message.
func (g *goodTraffic) watch(ctx context.Context, _ int) error {
	ctx, cancel := context.WithTimeout(ctx, goodCallTimeout)
	defer cancel()
	ctx, call := connect.NewClientContext(ctx)
	call.RequestHeader().Set("Authorization", "Bearer "+goodToken)
	stream, err := g.tickets.WatchTickets(ctx, &ticketv1.WatchTicketsRequest{Filter: &ticketv1.TicketFilter{AppIds: []string{"an-app"}}})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	if !stream.Receive() {
		return fmt.Errorf("no message: %w", stream.Err())
	}
	return nil
}

// probe asks both services whether they are ready, as a balancer does.
func (g *goodTraffic) probe(ctx context.Context, _ int) error {
	for _, admin := range []string{g.gatewayAdmin, g.ticketsvcAdmin} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
		if err != nil {
			return err
		}
		if err := expectOK(g.client.Do(request)); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.ticketsvc+"/grpc.health.v1.Health/Check",
		strings.NewReader("{}"))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := g.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if !bytes.Contains(answer, []byte(`"SERVING_STATUS_SERVING"`)) {
		return fmt.Errorf("health: %s: %q", response.Status, answer)
	}
	return nil
}

func expectOK(response *http.Response, err error) error {
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %q", response.Status, answer)
	}
	return err
}
