package sqlite_test

import (
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
