package sqlite_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
)

// The maximum size of a file simulates a full disk: SQLite reports both alike. No delivery arrives after there is space again.
func TestStore_Ping_fullDisk(t *testing.T) {
	t.Parallel()
	store, err := sqlite.Open(t.Context(), path(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Writer().ExecContext(t.Context(), "PRAGMA max_page_count = 20"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Add(t.Context(), []inbox.Incoming{inboxtest.Incoming("1", strings.Repeat("x", 200000))}); !errors.Is(err,
		inbox.ErrUnavailable) {
		t.Errorf("Add beyond the space = %v, want ErrUnavailable", err)
	}
	if err := store.Ping(t.Context()); !errors.Is(err, inbox.ErrUnavailable) || !strings.Contains(err.Error(), "full") {
		t.Errorf("Ping while the disk is full = %v, want ErrUnavailable that says why", err)
	}
	if _, err := store.Writer().ExecContext(t.Context(), "PRAGMA max_page_count = 4294967294"); err != nil {
		t.Fatal(err)
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for err := store.Ping(t.Context()); err != nil; err = store.Ping(t.Context()) {
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatalf("Ping once there is space = %v", err)
		}
	}
}
