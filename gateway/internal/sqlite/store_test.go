package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStoreConforms(t *testing.T) {
	t.Parallel()
	inboxtest.Run(t, func(t *testing.T, name string) inbox.Store {
		t.Helper()
		// Each test has a folder of its own under t.TempDir's, whose parent stays the same throughout the test.
		path := filepath.Join(filepath.Dir(t.TempDir()), name+".db")
		store, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	})
}

func TestABodySetAsideIsNotKeptTwiceOnceItTakesItsEventsPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	staleOne, staleTwo, good := inboxtest.Arrival("e", "one"), inboxtest.Arrival("e", "two"), inboxtest.Arrival("e", "two")
	staleOne.RejectReason, staleTwo.RejectReason = "stale", "stale"
	if _, err := store.Add(t.Context(), []inbox.Arrival{staleOne, staleTwo, good}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	var deliveries, payloads, pending int
	if err := db.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM deliveries), (SELECT count(*) FROM payloads),"+
		" (SELECT count(*) FROM deliveries WHERE state = 1)").Scan(&deliveries, &payloads, &pending); err != nil {
		t.Fatal(err)
	}
	if deliveries != 1 || payloads != 1 || pending != 1 {
		t.Errorf("%d deliveries with %d payloads, %d of them pending; want one of each", deliveries, payloads, pending)
	}
}
