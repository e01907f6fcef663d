package postgres_test

import (
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/postgres"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgresql.Main(m)) }

// databases are the databases of a suite's tests, by the names of the tests and of the databases.
type databases struct {
	mu   sync.Mutex
	urls map[[2]string]string
}

// url returns the URL of the database that the test knows by that name. The database is made on the first call.
func (d *databases) url(t *testing.T, name string) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	key := [2]string{t.Name(), name}
	if d.urls[key] == "" {
		d.urls[key] = postgresql.Database(t)
	}
	return d.urls[key]
}

func TestStore(t *testing.T) {
	t.Parallel()
	d := &databases{urls: map[[2]string]string{}}
	inboxtest.Run(t, inboxtest.Engine{
		Open:   func(t *testing.T, name string) inbox.Store { t.Helper(); return mustOpen(t, d.url(t, name)) },
		Shared: true,
		States: func(t *testing.T, name string) map[inbox.State]int { t.Helper(); return states(t, d.url(t, name)) },
	})
}

// mustOpen opens a store until the end of the test.
func mustOpen(t testing.TB, url string) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// states implements [inboxtest.Engine].
func states(t *testing.T, url string) map[inbox.State]int {
	t.Helper()
	conn := postgresql.Connect(t, url)
	var unmatched int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM gateway.deliveries d FULL JOIN gateway.payloads p ON p.delivery_id = d.id"+
		" WHERE d.id IS NULL OR p.delivery_id IS NULL").Scan(&unmatched); err != nil || unmatched != 0 {
		t.Errorf("%d deliveries or payloads without the other, %v", unmatched, err)
	}
	counts := map[inbox.State]int{}
	rows, err := conn.Query(t.Context(), "SELECT state, count(*) FROM gateway.deliveries GROUP BY state")
	if err != nil {
		t.Fatal(err)
	}
	var state inbox.State
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&state, &n}, func() error {
		counts[state] = n
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return counts
}

func TestStore_Claim_deliveryWithoutBody(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	mustAdd(t, store, inboxtest.Incoming("1", "one"))
	postgresql.Execute(t, url, "DELETE FROM gateway.payloads")
	if claimed := mustClaim(t, store, inboxtest.Epoch); len(claimed) != 1 || len(claimed[0].Body) != 0 || claimed[0].EventID != "1" {
		t.Errorf("claimed %+v, want the event without a body", claimed)
	}
}

func TestStore_ReplayStep_leavesDeliveriesWithoutBodyForwarded(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	mustAdd(t, store, inboxtest.Incoming("1", "one"), inboxtest.Incoming("2", "two"))
	postgresql.Execute(t, url, "UPDATE gateway.deliveries SET state = 2, forward_time = 1, next_attempt_time = NULL, due_time = NULL")
	postgresql.Execute(t, url, "DELETE FROM gateway.payloads WHERE delivery_id = 1")
	if err := store.ChangePositions(t.Context(), inbox.PositionsChange{ReplaySince: &time.Time{}}); err != nil {
		t.Fatal(err)
	}
	replay, err := store.ReplayStep(t.Context(), inboxtest.Epoch, 10)
	if want := (inbox.Replay{Requeued: 1, WithoutBody: 1, Done: true, Ended: true}); replay != want || err != nil {
		t.Errorf("replayed %+v, %v; want %+v", replay, err, want)
	}
	if claimed := mustClaim(t, store, inboxtest.Epoch); len(claimed) != 1 || claimed[0].EventID != "2" {
		t.Errorf("claimed %+v, want the event whose body is kept", claimed)
	}
}
