package postgresdb_test

import (
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// TestWrite_fsyncOff sets fsync off by a reload of the server's configuration, while the pool has all connections that it can have.
func TestWrite_fsyncOff(t *testing.T) {
	t.Parallel()
	url := postgresql.Server(t, nil).URL("postgres")
	admin := postgresql.Connect(t, url)
	db := mustOpen(t, options(url))
	fill(t, db)
	db.CheckAlways()
	if err := db.Write(t.Context(), inserting(1)); err != nil {
		t.Fatal(err)
	}
	configure(t, admin, "fsync", "off")
	waitUnavailable(t, db)
	err := db.Write(t.Context(), inserting(2))
	checkUnavailable(t, "Write with fsync off", err)
	if err != nil && !strings.Contains(err.Error(), "fsync = off") {
		t.Errorf("Write with fsync off = %v, want the reason", err)
	}
	configure(t, admin, "fsync", "on")
	for _, call := range calls {
		if err := call.call(t.Context(), db); err != nil {
			t.Errorf("%s with fsync on again: %v", call.name, err)
		}
	}
}
