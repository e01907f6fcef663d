package postgres_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/watch"
)

// readOnly are the ways in which a server becomes read-only. Each ends all connections.
var readOnly = map[string]func(t *testing.T, server *postgresserver.Server){
	"set so": func(t *testing.T, server *postgresserver.Server) {
		postgresql.Execute(t, server.URL("postgres"), "ALTER SYSTEM SET default_transaction_read_only = on")
		mustRestart(t, server, func(string) {})
	},
	"a standby that is promoted late": func(t *testing.T, server *postgresserver.Server) {
		mustRestart(t, server, func(data string) {
			if err := os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	},
}

// mustRestart stops a server, changes its folder, and starts it.
func mustRestart(t *testing.T, server *postgresserver.Server, change func(data string)) {
	t.Helper()
	var data string
	if err := postgresql.Connect(t, server.URL("postgres")).QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	change(data)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// checkReads makes every call that reads tickets or follows the log. last is the last event of the log.
func checkReads(t *testing.T, store *postgres.Store, last ticket.Change) {
	t.Helper()
	ctx, id := t.Context(), last.TicketID
	check := func(call string, got, want int, err error) {
		if got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", call, got, err, want)
		}
	}
	one, err := store.Get(ctx, id, nil)
	check("revision of Get", int(one.Revision), 1, err)
	some, err := store.BatchGet(ctx, []string{id, "nowhere"}, 1<<20, nil)
	check("BatchGet", len(some), 1, err)
	for _, filter := range []ticket.Filter{{}, {Text: "heizung"}, {Unassigned: true}} {
		page, _, err := store.List(ctx, filter, ticket.Order{}, nil, ticket.PageLimit{Items: 10, Bytes: ticket.MaxPageBytes})
		check("List", len(page), 2, err)
		stats, err := store.Stats(ctx, filter)
		check("Stats", int(stats.Total), 2, err)
		snapshot, err := store.ReadSnapshot(ctx, filter, "", ticket.PageLimit{Items: 10, Bytes: 1 << 20})
		check("ReadSnapshot", len(snapshot.Tickets), 2, err)
	}
	events, _, err := store.ListEvents(ctx, id, 0, ticket.PageLimit{Items: 10, Bytes: ticket.MaxPageBytes})
	check("ListEvents", len(events), 1, err)
	entries, err := store.ReadLog(ctx, 0, ticket.PageLimit{Items: 10, Bytes: 1 << 20})
	check("ReadLog", len(entries), 2, err)
	position, err := store.LastPosition(ctx)
	check("LastPosition", int(position.Sequence), 2, err)
	at, err := store.PositionAt(ctx, position.Sequence)
	check("PositionAt", int(at.Sequence), 2, err)
}

func TestStore_readsWhileTheServerIsReadOnly(t *testing.T) {
	t.Parallel()
	for name, makeReadOnly := range readOnly {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := postgresql.Server(t, nil)
			store := mustOpen(t, server.URL("postgres"))
			t.Cleanup(func() { _ = store.Close() })
			changes := []ticket.Change{change("1", "a"), change("2", "b")}
			for i := range changes {
				changes[i].Fields, changes[i].Values.Title = tickettest.Named("title"), "Heizung"
			}
			if _, err := store.Append(t.Context(), changes); err != nil {
				t.Fatal(err)
			}
			tickets := watch.New(store, watch.DefaultLimits(), watch.Notices{
				Failed: func(error) {}, Recovered: func() {}, Late: func(int64) {}, CaughtUp: func() {}})
			t.Cleanup(tickets.Close)
			makeReadOnly(t, server)
			checkReads(t, store, changes[1])
			if _, err := store.Append(t.Context(), []ticket.Change{change("3", "a")}); !errors.Is(err, ticket.ErrUnavailable) {
				t.Errorf("Record = %v, want ErrUnavailable", err)
			}
			if err := store.Ping(t.Context()); !errors.Is(err, ticket.ErrReadOnly) {
				t.Errorf("Ping = %v, want ErrReadOnly", err)
			}
			watcher, err := tickets.Watch(t.Context(), "caller", ticket.Filter{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer watcher.Close()
			if message, err := watcher.Next(t.Context()); err != nil || message.Kind != watch.Change {
				t.Errorf("the first message of a watcher: %+v, %v; want a ticket", message, err)
			}
			// A watcher can have a position from the primary that a standby has not reached yet.
			if _, err := store.PositionAt(t.Context(), 3); !errors.Is(err, ticket.ErrUnavailable) || errors.Is(err, ticket.ErrPositionNotFound) {
				t.Errorf("PositionAt after the end of the log = %v, want ErrUnavailable", err)
			}
			if _, err := store.PositionsAt(t.Context(), []int64{1, 3}); !errors.Is(err, ticket.ErrUnavailable) {
				t.Errorf("PositionsAt after the end of the log = %v, want ErrUnavailable", err)
			}
			if positions, err := store.PositionsAt(t.Context(), []int64{0, 1, 2, 2}); len(positions) != 2 || err != nil {
				t.Errorf("PositionsAt of what is there = %v, %v, want two positions", positions, err)
			}
		})
	}
}
