package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/tickets"
)

// TestServe_expensiveReadsBesideOthers has callers that repeatedly ask for the statistics of a text, with one token. Meanwhile the service
// must stay ready, and must respond to all other callers.
func TestServe_expensiveReadsBesideOthers(t *testing.T) {
	t.Parallel()
	for engine, database := range map[string]func(*testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "tickets.db") },
		"PostgreSQL": func(t *testing.T) string { return postgresql.Database(t) },
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			r := mustRun(t, "--database-url="+database(t), "--tokens=admin=good-good-good-good,read=greedy-greedy-greedy")
			good := newGoodCaller(t, r)
			if err := tickets.Record(t.Context(), good.events, 10_000); err != nil {
				t.Fatal(err)
			}
			quiet := good.measure(t, nil)
			for _, callers := range []int{8, 64} {
				ctx, cancel := context.WithCancel(t.Context())
				var calling sync.WaitGroup
				var results [64]map[connect.Code]int
				for i := range callers {
					calling.Go(func() { results[i] = askForStats(ctx, r.rpc) })
				}
				loaded := good.measure(t, quiet)
				cancel()
				calling.Wait()
				total := map[connect.Code]int{}
				for _, result := range results {
					for code, count := range result {
						total[code] += count
					}
				}
				if callers > 32 && total[connect.CodeResourceExhausted] == 0 {
					t.Errorf("of %d callers at once none was refused", callers)
				}
				for code := range total {
					if code != 0 && code != connect.CodeResourceExhausted {
						t.Errorf("callers of statistics got %v", code)
					}
				}
				t.Logf("%d callers of statistics: %s; they got %v (0 is OK)", callers, loaded, total)
			}
		})
	}
}

// askForStats asks for the statistics of a text until ctx ends, and returns the number of responses with each code.
func askForStats(ctx context.Context, url string) map[connect.Code]int {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := ticketv1connect.NewTicketServiceClient(&http.Client{Transport: transport}, url)
	got := map[connect.Code]int{}
	for {
		calling, call := connect.NewClientContext(ctx)
		call.RequestHeader().Set("Authorization", "Bearer greedy-greedy-greedy")
		_, err := client.GetTicketStats(calling, &ticketv1.GetTicketStatsRequest{Filter: &ticketv1.TicketFilter{Text: "heizung"}})
		switch {
		case ctx.Err() != nil:
			return got
		case err == nil:
			got[0]++
		default:
			got[connect.CodeOf(err)]++
		}
	}
}

// goodCaller makes the calls that must succeed.
type goodCaller struct {
	events ticketv1connect.TicketEventServiceClient
	calls  map[string]func(ctx context.Context) error
}

// latencies are the maximum times of each kind of call.
type latencies struct {
	slowest map[string]time.Duration
	quiet   *latencies
}

func (l *latencies) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(l.slowest)) {
		parts = append(parts, fmt.Sprintf("%s at most %v (%.1f × quiet)", name, l.slowest[name].Round(100*time.Microsecond),
			float64(l.slowest[name])/float64(l.quiet.slowest[name])))
	}
	return strings.Join(parts, ", ")
}

func newGoodCaller(t *testing.T, r running) *goodCaller {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	shown := connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
			request.Header().Set("Authorization", "Bearer good-good-good-good")
			return next(ctx, request)
		}
	}))
	reader := ticketv1connect.NewTicketServiceClient(client, r.rpc, shown)
	events := ticketv1connect.NewTicketEventServiceClient(client, r.rpc, shown)
	recorded := 0
	return &goodCaller{events: events, calls: map[string]func(context.Context) error{
		"/readyz": func(ctx context.Context) error {
			return ask(ctx, client, http.MethodGet, r.admin+"/readyz", "ok")
		},
		"health": func(ctx context.Context) error {
			return ask(ctx, client, http.MethodPost, r.rpc+"/grpc.health.v1.Health/Check", `"SERVING_STATUS_SERVING"`)
		},
		"GetTicket": func(ctx context.Context) error {
			_, err := reader.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: tickets.ID(recorded % 1000)})
			return err
		},
		"TicketCreated": func(ctx context.Context) error {
			recorded++
			_, err := events.TicketCreated(ctx, &ticketv1.TicketCreatedRequest{
				Event:     &ticketv1.EventMetadata{EventId: fmt.Sprint("e", recorded), OccurTime: &timestamppb.Timestamp{Seconds: 1}},
				Ticket:    &ticketv1.Ticket{TicketId: fmt.Sprint("t", recorded), Title: "personal"},
				FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}},
			})
			return err
		},
	}}
}

// ask makes a call without a token. It returns an error if the status is not 200 or the response does not contain want.
func ask(ctx context.Context, client *http.Client, method, url, want string) error {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
		return fmt.Errorf("status %d, %q", response.StatusCode, body)
	}
	return nil
}

// measure makes each call 10 times, one after the other.
func (g *goodCaller) measure(t *testing.T, quiet *latencies) *latencies {
	t.Helper()
	l := &latencies{slowest: map[string]time.Duration{}, quiet: quiet}
	failures := map[string]int{}
	for range 10 {
		for name, call := range g.calls {
			begin := time.Now()
			if err := call(t.Context()); err != nil {
				failures[name]++
				t.Log(name, err)
			}
			l.slowest[name] = max(l.slowest[name], time.Since(begin))
		}
	}
	if len(failures) > 0 {
		t.Errorf("of 10 calls each failed: %v", failures)
	}
	return l
}
