package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	// To look into the services' databases.
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/binaries"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

const secret = "a secret of the tests"

var commands = binaries.New("gateway/cmd/gateway", "ticketsvc/cmd/ticketsvc", "internal/cmd/simulator")

func TestMain(m *testing.M) {
	if name := os.Getenv(attackEnv); name != "" {
		attack(name)
		return
	}
	os.Exit(commands.Main(postgresql.Main(m)).Run())
}

// service is one of the two, with the address at which others reach it.
type service struct {
	*process.Process
	command             process.Command
	address, admin, log string
}

// ready asks the service whether it is ready, and returns the status of its answer.
func (s *service) ready(ctx context.Context, client *http.Client) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/readyz", nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// logHas tells whether the service's log has a text.
func (s *service) logHas(text string) (bool, error) {
	log, err := os.ReadFile(s.log)
	return strings.Contains(string(log), text), err
}

// logHasWithin tells whether the service's log has a text within that time.
func (s *service) logHasWithin(t *testing.T, bound time.Duration, text string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		found, err := s.logHas(text)
		if err != nil {
			t.Fatal(err)
		}
		if found {
			return true
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return false
		}
	}
}

// system is gateways and ticketsvcs with their databases. Each gateway calls the ticketsvc of the same number.
type system struct {
	folder               string
	gateways, ticketsvcs []*service
	// tickets is a client of the first ticketsvc.
	tickets ticketv1connect.TicketServiceClient
	// source is where the database driver finds a service's tables, by their names alone; listTables is the query for these names.
	driver, listTables string
	source             func(service string) string
}

// engines start a system on each engine, with as many of each service as it is meant for.
var engines = map[string]func(t *testing.T, extra ...string) *system{
	"SQLite": newSystem,
	"replicas on PostgreSQL": func(t *testing.T, extra ...string) *system {
		return newReplicatedSystem(t, postgresql.Database(t), extra...)
	},
}

// startTimeout bounds how long a service may take to be ready.
const startTimeout = 30 * time.Second

// newSystem starts one of each service, on SQLite. extra are settings of both, such as GATEWAY_UNEXPECTED=acknowledge.
func newSystem(t *testing.T, extra ...string) *system {
	t.Helper()
	folder := t.TempDir()
	path := func(service string) string { return filepath.Join(folder, service+".db") }
	s := startSystem(t, folder, 1, append(extra, "TICKETSVC_DATABASE_URL=sqlite:"+path("ticketsvc"),
		"GATEWAY_DATABASE_URL=sqlite:"+path("gateway")))
	s.driver, s.listTables = "sqlite", "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
	s.source = func(service string) string { return "file:" + path(service) + "?mode=ro&_pragma=busy_timeout(5000)" }
	return s
}

// newReplicatedSystem starts two of each service, on one PostgreSQL database, which they have to set up all at once.
func newReplicatedSystem(t *testing.T, databaseURL string, extra ...string) *system {
	t.Helper()
	return newReplicatedSystemOn(t, map[string]string{"gateway": databaseURL, "ticketsvc": databaseURL}, extra...)
}

// newReplicatedSystemOn starts two of each service on PostgreSQL. databases are the services' URLs.
func newReplicatedSystemOn(t *testing.T, databases map[string]string, extra ...string) *system {
	t.Helper()
	s := startSystem(t, t.TempDir(), 2, append(extra, "TICKETSVC_DATABASE_URL="+databases["ticketsvc"],
		"GATEWAY_DATABASE_URL="+databases["gateway"]))
	s.driver, s.listTables = "pgx", "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
	s.source = func(service string) string {
		ours, err := url.Parse(databases[service])
		if err != nil {
			panic("the database's URL is none")
		}
		parameters := ours.Query()
		parameters.Set("search_path", service)
		ours.RawQuery = parameters.Encode()
		return ours.String()
	}
	return s
}

func startSystem(t *testing.T, folder string, replicas int, extra []string) *system {
	t.Helper()
	s := &system{folder: folder, gateways: make([]*service, replicas), ticketsvcs: make([]*service, replicas)}
	scheme := "http://"
	if slices.ContainsFunc(extra, func(setting string) bool { return strings.HasPrefix(setting, "TICKETSVC_TLS_CERT_FILE=") }) {
		scheme = "https://"
	}
	var starting sync.WaitGroup
	for i := range replicas {
		gateway, gatewayAdmin, ticketsvc, ticketsvcAdmin := mustFreeAddress(t), mustFreeAddress(t), mustFreeAddress(t), mustFreeAddress(t)
		starting.Go(func() {
			s.ticketsvcs[i] = s.start(t, "ticketsvc", i, ticketsvc, ticketsvcAdmin, append(slices.Clone(extra), "TICKETSVC_LISTEN="+ticketsvc,
				"TICKETSVC_ADMIN_LISTEN="+ticketsvcAdmin))
		})
		starting.Go(func() {
			s.gateways[i] = s.start(t, "gateway", i, gateway, gatewayAdmin, append(slices.Clone(extra), "GATEWAY_WEBHOOK_SECRET="+secret,
				"GATEWAY_LISTEN="+gateway, "GATEWAY_ADMIN_LISTEN="+gatewayAdmin, "GATEWAY_TICKETSVC_URL="+scheme+ticketsvc))
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	s.tickets = ticketv1connect.NewTicketServiceClient(client, "http://"+s.ticketsvcs[0].address)
	return s
}

// start starts a service. It may be called from any goroutine, so it notes a failure and does not end the test.
func (s *system) start(t *testing.T, name string, number int, address, admin string, env []string) *service {
	t.Helper()
	// It may have to be built first, which takes longer than a start.
	path := commands.Path(t, name)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	log := filepath.Join(s.folder, fmt.Sprintf("%s-%d.log", name, number))
	command := process.Command{Path: path, Env: env, LogPath: log, ReadyURL: "http://" + admin + "/readyz"}
	p, err := process.Start(ctx, command)
	if err != nil {
		t.Error(err)
		return nil
	}
	started := &service{Process: p, command: command, address: address, admin: admin, log: log}
	t.Cleanup(func() { started.Kill() })
	return started
}

// killAndRestart ends a service as a crash does, and starts it again.
func killAndRestart(t *testing.T, s *service) {
	t.Helper()
	s.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	p, err := s.Restart(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.Process = p
}

// shutdownTimeout is how long a service takes to stop at the most, as its setting of that name is by default.
const shutdownTimeout = 10 * time.Second

// stop ends a service with SIGTERM, which must end in time and with status 0.
func stop(t *testing.T, s *service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), shutdownTimeout)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// services returns the gateways, and then the ticketsvcs.
func (s *system) services() []*service { return slices.Concat(s.gateways, s.ticketsvcs) }

// webhookURLs returns where each gateway takes webhooks.
func (s *system) webhookURLs() []string {
	urls := make([]string, len(s.gateways))
	for i, gateway := range s.gateways {
		urls[i] = "http://" + gateway.address + "/webhook"
	}
	return urls
}

func mustFreeAddress(t *testing.T) string {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// timeToReport is what is left of the time for all tests when [eventually] gives up.
const timeToReport = 10 * time.Second

// eventually calls condition until it returns true; the error of the last call tells why it did not. It looks again after a pause,
// because what another process does gives no signal. Nothing but the time for all tests bounds it: a busy machine breaks any other bound.
func eventually(t *testing.T, condition func(ctx context.Context) (bool, error)) {
	t.Helper()
	ctx := t.Context()
	if end, bounded := t.Deadline(); bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-timeToReport))
		defer cancel()
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		ok, err := condition(ctx)
		if ok {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("not before the time for all tests was over: %v", err)
		}
	}
}

// rows returns what a query gives in a service's database, beside that service: each column as a text, bytes as they are.
func (s *system) rows(t *testing.T, service, query string) (all [][]string) {
	t.Helper()
	db, err := sql.Open(s.driver, s.source(service))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(values))
		for i, value := range values {
			row[i] = string(value)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// allTickets walks all pages of ListTickets.
func (s *system) allTickets(ctx context.Context) (map[string]*ticketv1.Ticket, error) {
	tickets := map[string]*ticketv1.Ticket{}
	request := &ticketv1.ListTicketsRequest{PageSize: 1000}
	for {
		page, err := s.tickets.ListTickets(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, ticket := range page.GetTickets() {
			tickets[ticket.GetTicketId()] = ticket
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return tickets, nil
		}
	}
}

// eventIDs returns the ids of all events recorded for a ticket, in the order in which they were recorded.
func (s *system) eventIDs(ctx context.Context, ticketID string) ([]string, error) {
	var ids []string
	request := &ticketv1.ListTicketEventsRequest{TicketId: ticketID, PageSize: 1000}
	for {
		page, err := s.tickets.ListTicketEvents(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, event := range page.GetEvents() {
			ids = append(ids, event.GetEventId())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return ids, nil
		}
	}
}

// recorded returns how many events are recorded in all.
func (s *system) recorded(ctx context.Context) (int, error) {
	tickets, err := s.allTickets(ctx)
	events := 0
	for _, ticket := range tickets {
		events += int(ticket.GetRevision())
	}
	return events, err
}

// waitForTicket waits until a ticket has so many events, and returns it.
func (s *system) waitForTicket(t *testing.T, id string, revision int64) *ticketv1.Ticket {
	t.Helper()
	var ticket *ticketv1.Ticket
	eventually(t, func(ctx context.Context) (bool, error) {
		response, err := s.tickets.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: id})
		if err != nil {
			var connectErr *connect.Error
			if !errors.As(err, &connectErr) || connectErr.Code() != connect.CodeNotFound {
				return false, err
			}
			return false, errors.New("not found")
		}
		ticket = response.GetTicket()
		return ticket.GetRevision() >= revision, fmt.Errorf("revision %d, want %d", ticket.GetRevision(), revision)
	})
	return ticket
}
