package e2e_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/simulator"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

// failoverRoundsEnv sets how often each way to cut off a wait for the standby is tried. A release is tried with 5: 20 rounds.
const failoverRoundsEnv = "TEST_FAILOVER_ROUNDS"

// waitsCutOff are the ways in which a session stops to wait for the standby and commits at the primary alone. Each is called until each
// call has failed twice, and the primary has all deliveries. Where a way lets a call wait, the services give up after 10 s, and have
// PostgreSQL cancel the wait.
var waitsCutOff = map[string]func(t *testing.T, f *failover){
	"the services give up":        func(*testing.T, *failover) {},
	"the sessions are cancelled":  func(t *testing.T, f *failover) { t.Helper(); f.endWaits(t, "pg_cancel_backend") },
	"the sessions are terminated": func(t *testing.T, f *failover) { t.Helper(); f.endWaits(t, "pg_terminate_backend") },
	// A crash loses each delivery that does not wait for the standby yet. So many crashes could keep the last deliveries out for ever.
	"the primary crashes and restarts": func(t *testing.T, f *failover) {
		t.Helper()
		if f.crashes < failures && f.waiting(t, "gateway") && f.waiting(t, "ticketsvc") {
			f.crashes++
			killAndRestartServer(t, f.primary)
		}
	},
}

// failures is how often each call fails before the standby takes over: at first, and when it is made again.
const failures = 2

// TestAFailoverLosesNothingThatWasAcknowledged cuts off the synchronous standby, has deliveries, events and erasures come meanwhile, each
// again and again until it is acknowledged, and cuts off the waits for the standby. Then the primary dies and the standby takes over: it
// must have all that was acknowledged, and nothing may have been while it was cut off.
func TestAFailoverLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	rounds := 1
	if text := os.Getenv(failoverRoundsEnv); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", failoverRoundsEnv, err)
		}
	}
	for name, cutOff := range waitsCutOff {
		t.Run(name, func(t *testing.T) {
			for round := range rounds {
				t.Run(strconv.Itoa(round), func(t *testing.T) { testFailover(t, uint64(round), cutOff) })
			}
		})
	}
}

func testFailover(t *testing.T, seed uint64, cutOff func(*testing.T, *failover)) {
	t.Helper()
	f := startFailover(t)
	before := f.newCalls(1000+seed, 10)
	f.makeUntil(t, before, func() bool { return acknowledgedOf(before) == len(before) })

	f.standbyLink.Hang()
	during := f.newCalls(2000+seed, 30)
	f.makeUntil(t, during, func() bool {
		deliveries := byService(during)["gateway"]
		failing := slices.ContainsFunc(during, func(c *call) bool { return !c.hasEnded(failures) })
		// Of ticketsvc's calls only one after the other gets that far, because whoever waits for the standby holds the log.
		if failing || keptOf(t, f.primary, deliveries) < len(deliveries) {
			cutOff(t, f)
			return false
		}
		// What is not acknowledged is being made once more. Nothing answers it, if all is well, and sessions of both services wait.
		for service, calls := range byService(during) {
			if acknowledgedOf(calls) < len(calls) && !f.waiting(t, service) {
				return false
			}
		}
		return true
	})
	without := acknowledgedOf(during)

	f.primary.Kill()
	postgresql.Execute(t, f.standby.URL("postgres"), "SELECT pg_promote()")
	all := slices.Concat(before, during)
	acknowledged := slices.DeleteFunc(slices.Clone(all), func(c *call) bool { return !c.hasEnded(math.MaxInt) })
	lost := len(acknowledged) - keptOf(t, f.standby, acknowledged)
	t.Logf("of %d calls %d were acknowledged without the standby, and of %d acknowledged ones %d were lost", len(during), without,
		len(acknowledged), lost)
	if without > 0 || lost > 0 {
		t.Fatalf("%d acknowledged without the standby and %d lost, want 0", without, lost)
	}

	// The services go on with the new primary, without what only the old one had.
	f.makeUntil(t, all, func() bool { return acknowledgedOf(all) == len(all) })
	want := map[string][]string{}
	for _, c := range all {
		if c.ticketID != "" {
			want[c.ticketID] = append(want[c.ticketID], c.id)
		}
	}
	f.system.expectRecorded(t, sortedValues(want))
}

// failover is two of each service with a primary and its synchronous standby.
type failover struct {
	system           *system
	primary, standby *postgresserver.Server
	// standbyLink is between the two.
	standbyLink *postgresql.Proxy
	client      *http.Client
	// crashes is how often the primary crashed.
	crashes int
}

func startFailover(t *testing.T) *failover {
	t.Helper()
	f := &failover{primary: postgresql.Server(t, map[string]string{"synchronous_standby_names": "*"}),
		client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(f.client.CloseIdleConnections)
	link, through := postgresql.NewProxy(t, f.primary.URL("postgres"))
	f.standbyLink, f.standby = link, postgresql.StandbyOf(t, f.primary, mustParse(t, through).Host)
	database := mustParse(t, f.primary.URL("postgres"))
	database.Host += "," + f.standby.Address()
	// What the standby does not know as forwarded waits until its lease runs out.
	f.system = newReplicatedSystem(t, database.String(), "GATEWAY_FORWARD_TIMEOUT=1s")
	return f
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	location, err := url.Parse(text)
	if err != nil {
		t.Fatal("a database's URL is none")
	}
	return location
}

// call is something that a service acknowledges, and that is made again until it does.
type call struct {
	service, id, ticketID string
	// kept is the query that returns whether a database has what was acknowledged.
	kept string
	make func(ctx context.Context) error

	mu           sync.Mutex
	acknowledged bool
	failed       int
}

// newCalls returns as many deliveries, as many events that go to ticketsvc itself, and as many erasures. Each is made at every replica in
// turn.
func (f *failover) newCalls(seed uint64, each int) []*call {
	var calls []*call
	for event := range simulator.Generate(seed, 2*each, simulator.GenerateOptions{}) {
		c := &call{service: "ticketsvc", id: event.ID, ticketID: event.TicketID}
		calls = append(calls, c)
		if len(calls) <= each {
			c.service, c.kept = "gateway", "SELECT EXISTS (SELECT FROM gateway.deliveries WHERE event_id = $1)"
			c.make = f.inTurn(func(ctx context.Context, replica int) error {
				status, _, err := post(ctx, f.client, f.system.webhookURLs()[replica], event.Body)
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("answered %d", status)
				}
				return err
			})
			continue
		}
		c.kept = "SELECT EXISTS (SELECT FROM ticketsvc.events WHERE event_id = $1)"
		now := timestamppb.Now()
		request := &ticketv1.TicketUpdatedRequest{Ticket: &ticketv1.Ticket{TicketId: event.TicketID},
			Event: &ticketv1.EventMetadata{EventId: event.ID, OccurTime: now, ReceiveTime: now}}
		c.make = f.inTurn(func(ctx context.Context, replica int) error {
			_, err := ticketv1connect.NewTicketEventServiceClient(f.client, f.ticketsvcURL(replica)).
				TicketUpdated(ctx, request)
			return err
		})
	}
	for n := range each {
		c := &call{service: "ticketsvc", id: fmt.Sprintf("erased-%d-%d", seed, n),
			kept: "SELECT EXISTS (SELECT FROM ticketsvc.tickets WHERE ticket_id = $1 AND erased)"}
		calls = append(calls, c)
		c.make = f.inTurn(func(ctx context.Context, replica int) error {
			_, err := ticketv1connect.NewTicketServiceClient(f.client, f.ticketsvcURL(replica)).
				EraseTicket(ctx, &ticketv1.EraseTicketRequest{TicketId: c.id})
			return err
		})
	}
	return calls
}

func (f *failover) ticketsvcURL(replica int) string {
	return "http://" + f.system.ticketsvcs[replica].address
}

// inTurn returns what makes a call at one replica after the other.
func (f *failover) inTurn(call func(ctx context.Context, replica int) error) func(context.Context) error {
	turn := 0
	return func(ctx context.Context) error {
		turn++
		return call(ctx, turn%len(f.system.gateways))
	}
}

// makeUntil makes all calls that are not acknowledged at the same time, each again after a failure, until done returns true.
func (f *failover) makeUntil(t *testing.T, calls []*call, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var making sync.WaitGroup
	defer making.Wait()
	defer cancel()
	for _, c := range calls {
		making.Go(func() { c.makeUntilAcknowledged(ctx) })
	}
	eventually(t, func(context.Context) (bool, error) {
		return done(), fmt.Errorf("%d of %d calls were acknowledged", acknowledgedOf(calls), len(calls))
	})
}

// waiting returns whether a session of a service waits for the standby.
func (f *failover) waiting(t *testing.T, service string) bool {
	t.Helper()
	return f.count(t, "count(*) FILTER (WHERE application_name = '"+service+"')") > 0
}

// endWaits calls a function of PostgreSQL for each session that waits for the standby.
func (f *failover) endWaits(t *testing.T, function string) {
	t.Helper()
	f.count(t, "count("+function+"(pid))")
}

func (f *failover) count(t *testing.T, what string) (count int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), f.primary.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if err := conn.QueryRow(t.Context(), "SELECT "+what+" FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

func byService(calls []*call) map[string][]*call {
	services := map[string][]*call{}
	for _, c := range calls {
		services[c.service] = append(services[c.service], c)
	}
	return services
}

// keptOf returns how many of the calls a server has the effects of.
func keptOf(t *testing.T, server *postgresserver.Server, calls []*call) (count int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, c := range calls {
		var kept bool
		if err := conn.QueryRow(t.Context(), c.kept, c.id).Scan(&kept); err != nil {
			t.Fatal(err)
		}
		if kept {
			count++
		}
	}
	return count
}

// retryPause is the time between two tries of a call.
const retryPause = 20 * time.Millisecond

func (c *call) makeUntilAcknowledged(ctx context.Context) {
	pause := time.NewTicker(retryPause)
	defer pause.Stop()
	for !c.hasEnded(math.MaxInt) {
		err := c.make(ctx)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		if err == nil {
			c.acknowledged = true
		} else {
			c.failed++
		}
		c.mu.Unlock()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// hasEnded returns whether the call is acknowledged, or has failed so often.
func (c *call) hasEnded(failures int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acknowledged || c.failed >= failures
}

func acknowledgedOf(calls []*call) (count int) {
	for _, c := range calls {
		if c.hasEnded(math.MaxInt) {
			count++
		}
	}
	return count
}
