package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/process"
)

const secret = "a secret of the tests"

// binaries is the folder with the services, built once for all tests.
var binaries string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	folder, err := os.MkdirTemp("", "ticketbridge-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	build := exec.Command("go", "build", "-o", folder+"/",
		"github.com/ticketbridge/ticketbridge/gateway/cmd/gateway", "github.com/ticketbridge/ticketbridge/ticketsvc/cmd/ticketsvc",
		"github.com/ticketbridge/ticketbridge/internal/cmd/simulator")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the services:", err)
		return 1
	}
	binaries = folder
	return m.Run()
}

// service is one of the two, with the address at which others reach it.
type service struct {
	*process.Process
	address, admin, log string
}

// system is a gateway and a ticketsvc with their databases.
type system struct {
	folder             string
	gateway, ticketsvc *service
	tickets            ticketv1connect.TicketServiceClient
}

// startTimeout bounds how long a service may take to be ready.
const startTimeout = 30 * time.Second

// newSystem starts both services. extra are settings of both, such as GATEWAY_UNEXPECTED=acknowledge.
func newSystem(t *testing.T, extra ...string) *system {
	t.Helper()
	s := &system{folder: t.TempDir()}
	s.ticketsvc = s.startTicketsvc(t, extra)
	s.gateway = s.startGateway(t, extra)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	s.tickets = ticketv1connect.NewTicketServiceClient(client, "http://"+s.ticketsvc.address)
	return s
}

func (s *system) startTicketsvc(t *testing.T, extra []string) *service {
	t.Helper()
	address, admin := mustFreeAddress(t), mustFreeAddress(t)
	return s.start(t, "ticketsvc", address, admin, append(slices.Clone(extra),
		"TICKETSVC_LISTEN="+address, "TICKETSVC_ADMIN_LISTEN="+admin, "TICKETSVC_DATABASE_URL=sqlite:"+filepath.Join(s.folder, "ticketsvc.db")))
}

func (s *system) startGateway(t *testing.T, extra []string) *service {
	t.Helper()
	address, admin := mustFreeAddress(t), mustFreeAddress(t)
	return s.start(t, "gateway", address, admin, append(slices.Clone(extra), "GATEWAY_WEBHOOK_SECRET="+secret, "GATEWAY_LISTEN="+address,
		"GATEWAY_ADMIN_LISTEN="+admin, "GATEWAY_DATABASE_URL=sqlite:"+filepath.Join(s.folder, "gateway.db"),
		"GATEWAY_TICKETSVC_URL=http://"+s.ticketsvc.address))
}

func (s *system) start(t *testing.T, name, address, admin string, env []string) *service {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	log := filepath.Join(s.folder, name+".log")
	p, err := process.Start(ctx, process.Command{Path: filepath.Join(binaries, name), Env: env, LogPath: log, ReadyURL: "http://" + admin + "/readyz"})
	if err != nil {
		t.Fatal(err)
	}
	started := &service{Process: p, address: address, admin: admin, log: log}
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

// stop ends a service with SIGTERM, which must end with status 0.
func stop(t *testing.T, s *service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func (s *system) webhookURL() string { return "http://" + s.gateway.address + "/webhook" }

func mustFreeAddress(t *testing.T) string {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// eventually calls condition until it returns true; the error of the last call tells why it did not. It looks again after a pause,
// because what another process does gives no signal.
func eventually(t *testing.T, bound time.Duration, condition func(ctx context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
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
			t.Fatalf("not within %v: %v", bound, err)
		}
	}
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
	eventually(t, 20*time.Second, func(ctx context.Context) (bool, error) {
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
