package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// restorable is a system whose ticketsvcs have a database of their own, which can be backed up and restored while they are stopped.
type restorable struct {
	*system
	backUp, restore func(t *testing.T)
}

// restorables start a system on each engine.
var restorables = map[string]func(t *testing.T) restorable{
	"SQLite": func(t *testing.T) restorable {
		s := newSystem(t)
		database, backup := filepath.Join(s.folder, "ticketsvc.db"), filepath.Join(t.TempDir(), "backup.db")
		copyFile := func(t *testing.T, from, to string) {
			t.Helper()
			content, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, content, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return restorable{s, func(t *testing.T) { copyFile(t, database, backup) }, func(t *testing.T) { copyFile(t, backup, database) }}
	},
	"replicas on PostgreSQL": func(t *testing.T) restorable {
		server := postgresql.Server(t, nil)
		execute := func(t *testing.T, statements ...string) {
			t.Helper()
			for _, statement := range statements {
				postgresql.Execute(t, server.URL("postgres"), statement)
			}
		}
		execute(t, "CREATE DATABASE gateway", "CREATE DATABASE ticketsvc")
		s := startSystem(t, t.TempDir(), 2, []string{"TICKETSVC_DATABASE_URL=" + server.URL("ticketsvc"),
			"GATEWAY_DATABASE_URL=" + server.URL("gateway")})
		s.driver, s.listTables = "pgx", "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
		s.source = func(service string) string {
			url, separator := server.URL(service), "?"
			if strings.Contains(url, "?") {
				separator = "&"
			}
			return url + separator + "search_path=" + service
		}
		return restorable{s, func(t *testing.T) { execute(t, "CREATE DATABASE backup TEMPLATE ticketsvc") },
			func(t *testing.T) { execute(t, "DROP DATABASE ticketsvc", "CREATE DATABASE ticketsvc TEMPLATE backup") }}
	},
}

// whileStopped stops services, calls f, and starts the services again.
func whileStopped(t *testing.T, services []*service, f func(t *testing.T)) {
	t.Helper()
	for _, s := range services {
		stop(t, s)
	}
	f(t)
	restart(t, services)
}

// restart starts services that have stopped.
func restart(t *testing.T, services []*service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	for _, s := range services {
		p, err := s.Restart(ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.Process = p
	}
}

// TestErasures_restoredDatabase erases a ticket, and restores an older backup of ticketsvc's database. Once a gateway runs, the ticket is
// erased again, its later events are dropped, and a watcher learns of the erasure.
func TestErasures_restoredDatabase(t *testing.T) {
	t.Parallel()
	id := fullTicket(t).GetTicketId()
	event := func(number string) string { return "0b6a4a0e-5b7e-4a5e-9c66-000000000" + number }
	created, status, title := mustRead(t, "created-full"), mustRead(t, "updated-status"), mustRead(t, "updated-old-new")
	createdAnew := bytes.Replace(created, []byte(event("001")), []byte(event("0ff")), 1)
	for name, start := range restorables {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for _, body := range [][]byte{created, status} {
				s.postToAll(t, client, body, http.StatusOK)
			}
			s.waitForTicket(t, id, 2)
			whileStopped(t, s.ticketsvcs, s.backUp)
			if _, err := s.tickets.EraseTicket(t.Context(), &ticketv1.EraseTicketRequest{TicketId: id}); err != nil {
				t.Fatal(err)
			}
			eventually(t, func(context.Context) (bool, error) {
				kept := s.rows(t, "gateway", "SELECT ticket_id FROM erasures")
				return len(kept) == 1 && kept[0][0] == id, fmt.Errorf("the gateway keeps the erasures of %q, want %s", kept, id)
			})

			for _, gateway := range s.gateways {
				stop(t, gateway)
			}
			whileStopped(t, s.ticketsvcs, s.restore)
			watch, err := s.tickets.WatchTickets(t.Context(), &ticketv1.WatchTicketsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			// Without a gateway the ticket is back.
			receive(t, watch, func(message *ticketv1.WatchTicketsResponse) bool {
				return message.GetChange().GetTicket().GetTicketId() == id && message.GetChange().GetTicket().GetRevision() == 2
			})
			restart(t, s.gateways)
			receive(t, watch, func(message *ticketv1.WatchTicketsResponse) bool { return message.GetRemoved().GetTicketId() == id })
			for _, body := range [][]byte{created, status, title, createdAnew} {
				s.postToAll(t, client, body, http.StatusOK)
			}
			s.waitUntilForwarded(t, event("001"), event("002"), event("003"), event("0ff"))
			s.expectErased(t, id)

			// Once more, with gateways that run.
			whileStopped(t, s.ticketsvcs, s.restore)
			eventually(t, func(ctx context.Context) (bool, error) {
				got, err := s.tickets.GetTicket(ctx, &ticketv1.GetTicketRequest{TicketId: id})
				return connect.CodeOf(err) == connect.CodeNotFound, fmt.Errorf("GetTicket = %v, %w", got.GetTicket().GetTicketId(), err)
			})
			s.expectErased(t, id)
		})
	}
}

// receive receives messages of a stream until one is wanted.
func receive(t *testing.T, stream *connect.ServerStreamForClient[ticketv1.WatchTicketsResponse],
	isWanted func(*ticketv1.WatchTicketsResponse) bool) {
	t.Helper()
	for stream.Receive() {
		if isWanted(stream.Msg()) {
			return
		}
	}
	t.Fatalf("the stream ended: %v", stream.Err())
}
