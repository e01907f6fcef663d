package fill_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/fill"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgresql.Main(m)) }

// tickets is more than a batch of the filling, and so many that a list has several pages.
const tickets = 1500

// open opens a store, which is closed at the end of the test.
func open[S ticket.Store](t *testing.T, how func(context.Context, string) (S, error), name string) ticket.Store {
	t.Helper()
	store, err := how(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// TestADatabaseIsAsIfItsTicketsHadBeenRecorded compares one that is filled with one in which the same tickets are recorded.
func TestADatabaseIsAsIfItsTicketsHadBeenRecorded(t *testing.T) {
	t.Parallel()
	engines := map[string]struct {
		url  func(t *testing.T) databaseurl.URL
		open func(t *testing.T, url databaseurl.URL) ticket.Store
	}{
		"SQLite": {
			func(t *testing.T) databaseurl.URL {
				return databaseurl.URL{SQLitePath: filepath.Join(t.TempDir(), "a b%.db")}
			},
			func(t *testing.T, url databaseurl.URL) ticket.Store { return open(t, sqlite.Open, url.SQLitePath) },
		},
		"PostgreSQL": {
			func(t *testing.T) databaseurl.URL { return databaseurl.URL{PostgresURL: postgresql.Database(t)} },
			func(t *testing.T, url databaseurl.URL) ticket.Store {
				return open(t, func(ctx context.Context, url string) (*postgres.Store, error) { return postgres.Open(ctx, url, nil) }, url.PostgresURL)
			},
		},
	}
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := engine.url(t)
			if err := fill.Database(t.Context(), url, tickets); err != nil {
				t.Fatal(err)
			}
			if err := fill.Database(t.Context(), url, 1); !errors.Is(err, fill.ErrNotEmpty) {
				t.Errorf("filling it again: %v, want %v", err, fill.ErrNotEmpty)
			}
			filled, recorded := engine.open(t, url), engine.open(t, engine.url(t))
			record(t, recorded)
			compareReads(t, filled, recorded)

			// What comes later finds the tickets, and is counted.
			for _, store := range []ticket.Store{filled, recorded} {
				c := fill.Change(0)
				c.EventID, c.Name, c.Values.StatusText = "later", ticket.Updated, "closed"
				c.OccurTime.Seconds += 1 << 30
				if done, err := store.Record(t.Context(), []ticket.Change{c}); err != nil || done[0] != (ticket.Recorded{LogEnd: done[0].LogEnd}) {
					t.Fatalf("%v, %v", done, err)
				}
			}
			compareReads(t, filled, recorded)
		})
	}
}

func record(t *testing.T, store ticket.Store) {
	t.Helper()
	changes := make([]ticket.Change, 0, tickets)
	for number := range tickets {
		changes = append(changes, fill.Change(number))
	}
	for len(changes) > 0 {
		batch := changes[:min(500, len(changes))]
		changes = changes[len(batch):]
		if _, err := store.Record(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

// compareReads compares all tickets of two stores, in every order and under filters, and their stats.
func compareReads(t *testing.T, got, want ticket.Store) {
	t.Helper()
	example := fill.Change(0).Values
	for _, filter := range []ticket.Filter{
		{}, {Statuses: []ticket.Status{ticket.StatusWaitingForAgent}},
		{AppIDs: []string{example.AppID}, CategoryIDs: []string{example.CategoryID}},
		{Unassigned: true}, {AssignedTo: fill.Change(1).Values.AssignedTo}, {PropertyIDs: []string{example.PropertyID}},
		{UpdatedAfter: fill.Change(tickets / 2).Values.UpdateTime}, {Text: "bad heizkorp"},
	} {
		var stats [2]ticket.Stats
		for i, store := range []ticket.Store{got, want} {
			var err error
			if stats[i], err = store.Stats(t.Context(), filter); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(stats[1], stats[0]); diff != "" || stats[0].Total == 0 {
			t.Errorf("stats of %+v: %s", filter, diff)
		}
		for _, order := range []ticket.Order{{Time: ticket.ByUpdateTime, Descending: true}, {Time: ticket.ByCreateTime}} {
			if diff := cmp.Diff(walk(t, want, filter, order), walk(t, got, filter, order)); diff != "" {
				t.Errorf("tickets of %+v in the order %+v: %s", filter, order, diff)
			}
		}
	}
}

func walk(t *testing.T, store ticket.Store, filter ticket.Filter, order ticket.Order) (all []ticket.Ticket) {
	t.Helper()
	var after *ticket.Cursor
	for more := true; more; {
		var page []ticket.Ticket
		var err error
		limit := ticket.PageLimit{Items: 1000, Bytes: ticket.MaxPageBytes}
		if page, more, err = store.List(t.Context(), filter, order, after, limit); err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if more {
			cursor := order.Cursor(&page[len(page)-1])
			after = &cursor
		}
	}
	return all
}

func TestIDsGrowAndAreAllDifferent(t *testing.T) {
	t.Parallel()
	last := ""
	for _, number := range []int{0, 1, 2, 255, 256, 999_999, 1_000_000, 10_000_000} {
		id := fill.ID(number)
		if id <= last || len(id) != 24 {
			t.Errorf("the ticket %d has the id %q after %q", number, id, last)
		}
		last = id
	}
}
