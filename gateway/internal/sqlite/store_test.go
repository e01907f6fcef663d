package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// path returns the path of a test's database of that name. Each call of t.TempDir makes a folder under one that stays the same throughout
// the test.
func path(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(filepath.Dir(t.TempDir()), name+".db")
}

func TestStore(t *testing.T) {
	t.Parallel()
	inboxtest.Run(t, inboxtest.Engine{
		Open: func(t *testing.T, name string) inbox.Store {
			t.Helper()
			store, err := sqlite.Open(t.Context(), path(t, name))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			return store
		},
		States: states,
	})
}

// states implements [inboxtest.Engine].
func states(t *testing.T, name string) map[inbox.State]int {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path(t, name)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	var unmatched int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM deliveries d FULL JOIN payloads p ON p.delivery_id = d.id"+
		" WHERE d.id IS NULL OR p.delivery_id IS NULL").Scan(&unmatched); err != nil || unmatched != 0 {
		t.Errorf("%d deliveries or payloads without the other, %v", unmatched, err)
	}
	rows, err := db.QueryContext(t.Context(), "SELECT state, count(*) FROM deliveries GROUP BY state")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	counts := map[inbox.State]int{}
	for rows.Next() {
		var state inbox.State
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			t.Fatal(err)
		}
		counts[state] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}

func TestStore_Claim_deliveryWithoutBody(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), path(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Add(t.Context(), []inbox.Incoming{inboxtest.Incoming("1", "one")}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), "DELETE FROM payloads"); err != nil {
		t.Fatal(err)
	}
	claimed, err := store.Claim(t.Context(), inboxtest.Epoch, time.Minute, 10)
	if err != nil || len(claimed) != 1 || len(claimed[0].Body) != 0 || claimed[0].EventID != "1" {
		t.Errorf("claimed %+v, %v; want the event without a body", claimed, err)
	}
}

func TestStore_ReplayStep_leavesDeliveriesWithoutBodyForwarded(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), path(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Add(t.Context(), []inbox.Incoming{inboxtest.Incoming("1", "one"), inboxtest.Incoming("2", "two")}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Writer().ExecContext(t.Context(), "UPDATE deliveries SET state = 2, forward_time = 1, next_attempt_time = NULL;"+
		" DELETE FROM payloads WHERE delivery_id = 1"); err != nil {
		t.Fatal(err)
	}
	if err := store.ChangePositions(t.Context(), inbox.PositionsChange{ReplaySince: &time.Time{}}); err != nil {
		t.Fatal(err)
	}
	replay, err := store.ReplayStep(t.Context(), inboxtest.Epoch, 10)
	if want := (inbox.Replay{Requeued: 1, WithoutBody: 1, Done: true, Ended: true}); replay != want || err != nil {
		t.Errorf("replayed %+v, %v; want %+v", replay, err, want)
	}
	claimed, err := store.Claim(t.Context(), inboxtest.Epoch, time.Minute, 10)
	if err != nil || len(claimed) != 1 || claimed[0].EventID != "2" {
		t.Errorf("claimed %+v, %v; want the event whose body is kept", claimed, err)
	}
}
