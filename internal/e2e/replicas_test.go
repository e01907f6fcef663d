package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
)

// TestReplicasLoseNothingAcrossCrashes kills each replica and PostgreSQL itself, one after the other, in the middle of a burst over two
// gateways. What comes of it must be, byte for byte, what one of each service makes of the same events on SQLite.
func TestReplicasLoseNothingAcrossCrashes(t *testing.T) {
	t.Parallel()
	const events = 20_000
	server := postgresql.Server(t, nil)
	// What a killed gateway was forwarding waits until its leases run out: as long as a call may take, and some seconds.
	replicated := newReplicatedSystem(t, server.URL("postgres"), "GATEWAY_FORWARD_TIMEOUT=1s")
	send := func(s *system) *sending {
		generated := simulator.Generate(3, events, simulator.GenerateOptions{})
		return s.send(t, simulator.Duplicate(simulator.Shuffle(generated, 0, 3), 0.1, 3))
	}
	sending := send(replicated)
	crashes := []func(){
		func() { killAndRestart(t, replicated.gateways[0]) },
		func() { killAndRestart(t, replicated.ticketsvcs[0]) },
		func() { killAndRestartServer(t, server) },
		func() { killAndRestart(t, replicated.gateways[1]) },
		func() { killAndRestart(t, replicated.ticketsvcs[1]) },
		func() { killAndRestartServer(t, server) },
	}
	for i, crash := range crashes {
		sending.wait(t, events*(i+1)/(len(crashes)+1))
		crash()
	}
	replicated.expectRecorded(t, sending.finish(t, events))
	got := replicated.storedTickets(t)

	alone := newSystem(t)
	alone.expectRecorded(t, send(alone).finish(t, events))
	want := alone.storedTickets(t)
	if len(want) == 0 || len(got) != len(want) {
		t.Fatalf("%d tickets, want %d", len(got), len(want))
	}
	for id, ticket := range want {
		if got[id] != ticket {
			t.Errorf("ticket %s differs from what SQLite has", id)
		}
	}
}

// killAndRestartServer ends PostgreSQL as a crash does, and starts it again.
func killAndRestartServer(t *testing.T, server *postgresserver.Server) {
	t.Helper()
	server.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
}

// storedTicket is a ticket as databases hold it, with where its values come from.
type storedTicket struct{ content, stamps string }

func (s *system) storedTickets(t *testing.T) map[string]storedTicket {
	t.Helper()
	tickets := map[string]storedTicket{}
	for _, row := range s.rows(t, "ticketsvc", "SELECT ticket_id, content, stamps FROM tickets") {
		tickets[row[0]] = storedTicket{content: row[1], stamps: row[2]}
	}
	return tickets
}

// TestTheSameEventAtAllReplicasAtOnceIsAppliedOnce posts each event to both gateways at once, several times.
func TestTheSameEventAtAllReplicasAtOnceIsAppliedOnce(t *testing.T) {
	t.Parallel()
	const events, copies = 1000, 4
	s := newReplicatedSystem(t, postgresql.Database(t))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * copies}}
	t.Cleanup(client.CloseIdleConnections)
	want := map[string][]string{}
	for event := range simulator.Generate(4, events, simulator.GenerateOptions{}) {
		want[event.TicketID] = append(want[event.TicketID], event.ID)
		start := make(chan struct{})
		group, ctx := errgroup.WithContext(t.Context())
		for _, url := range s.webhookURLs() {
			for range copies {
				group.Go(func() error {
					<-start
					if status, _, err := post(ctx, client, url, event.Body); err != nil || status != http.StatusOK {
						return fmt.Errorf("answered %d, %w", status, err)
					}
					return nil
				})
			}
		}
		close(start)
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	s.expectRecorded(t, sortedValues(want))
}

// TestAWorkerThatWakesBeyondItsLeaseOverwritesNothing stops a gateway, with calls in flight, until another one has taken over and finished
// all that it had claimed, and wakes it.
func TestAWorkerThatWakesBeyondItsLeaseOverwritesNothing(t *testing.T) {
	t.Parallel()
	const events, rounds = 2000, 5
	url := postgresql.Database(t)
	// A lease is as long as a call may take, and some seconds.
	s := newReplicatedSystem(t, url, "GATEWAY_FORWARD_TIMEOUT=500ms")
	conn := postgresql.Connect(t, url)
	want := map[string][]string{}
	for round := range uint64(rounds) {
		sending := s.send(t, simulator.Generate(100+round, events, simulator.GenerateOptions{}))
		sending.wait(t, events/2)
		// Its ticketsvc first, so that calls are in flight when it stops.
		signal(t, syscall.SIGSTOP, s.ticketsvcs[1], s.gateways[1])
		eventually(t, func(ctx context.Context) (bool, error) {
			var pending, forwarded int
			err := conn.QueryRow(ctx, "SELECT count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2) FROM gateway.deliveries").
				Scan(&pending, &forwarded)
			return err == nil && pending == 0 && forwarded >= events/2, errors.Join(err, fmt.Errorf("%d pending, %d forwarded", pending, forwarded))
		})
		before := finishedDeliveries(t, conn)
		signal(t, syscall.SIGCONT, s.gateways[1])
		// Its calls end now, with an error, and it has outcomes to write; unless it slept between two claims, and all was in vain.
		wroteLate := s.gateways[1].logHasWithin(t, 10*time.Second, "outcomes came after another worker took the deliveries over")
		after := finishedDeliveries(t, conn)
		for id, row := range before {
			if after[id] != row {
				t.Errorf("delivery %d was %s and is %s", id, row, after[id])
			}
		}
		signal(t, syscall.SIGCONT, s.ticketsvcs[1])
		maps.Copy(want, sending.finish(t, events))
		s.expectRecorded(t, want)
		if wroteLate {
			return
		}
	}
	t.Errorf("the gateway that slept had no outcome to write in %d rounds", rounds)
}

func signal(t *testing.T, sent syscall.Signal, to ...*service) {
	t.Helper()
	for _, service := range to {
		if err := service.Signal(sent); err != nil {
			t.Fatal(err)
		}
	}
}

// finishedDeliveries returns, as texts, the rows of all deliveries that are forwarded, by id.
func finishedDeliveries(t *testing.T, conn *pgx.Conn) map[int64]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT id, d::text FROM gateway.deliveries d WHERE state = 2")
	if err != nil {
		t.Fatal(err)
	}
	finished := map[int64]string{}
	var id int64
	var row string
	if _, err := pgx.ForEachRow(rows, []any{&id, &row}, func() error {
		finished[id] = row
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return finished
}

// TestAnOutageOfPostgreSQLShowsAndPasses stops PostgreSQL under two of each service, and starts it again.
func TestAnOutageOfPostgreSQLShowsAndPasses(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	s := newReplicatedSystem(t, server.URL("postgres"))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	var bodies [][]byte
	want := map[string][]string{}
	for event := range simulator.Generate(6, 20, simulator.GenerateOptions{}) {
		bodies = append(bodies, event.Body)
		want[event.TicketID] = append(want[event.TicketID], event.ID)
	}
	ready := func(status int) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) {
			for _, service := range s.services() {
				got, err := service.ready(ctx, client)
				if err != nil || got != status {
					return false, fmt.Errorf("%s answers %d, %w", service.log, got, err)
				}
			}
			return true, nil
		}
	}
	for i, body := range bodies[:10] {
		s.postToAll(t, client, body, http.StatusOK)
		if i == 4 {
			server.Kill()
			eventually(t, ready(http.StatusServiceUnavailable))
			s.postToAll(t, client, bodies[10], http.StatusServiceUnavailable)
			ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
			if err := server.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			eventually(t, ready(http.StatusOK))
		}
	}
	for _, body := range bodies[10:] {
		s.postToAll(t, client, body, http.StatusOK)
	}
	s.expectRecorded(t, sortedValues(want))
}

// sortedValues sorts the values of each key.
func sortedValues(m map[string][]string) map[string][]string {
	for _, values := range m {
		slices.Sort(values)
	}
	return m
}
