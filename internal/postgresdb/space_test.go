package postgresdb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// Triggers simulate a full disk: they report the same error as the server.
func TestPing_fullDisk(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	db, admin := mustOpen(t, options(url)), postgresql.Connect(t, url)
	for _, statement := range []string{
		"CREATE FUNCTION full_table() RETURNS trigger AS $$BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END$$" +
			" LANGUAGE plpgsql",
		"CREATE FUNCTION full_disk() RETURNS event_trigger AS $$BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END$$" +
			" LANGUAGE plpgsql",
		"CREATE TRIGGER full_table BEFORE INSERT ON test.t FOR EACH ROW WHEN (NEW.id > 1) EXECUTE FUNCTION full_table()",
		"CREATE EVENT TRIGGER full_disk ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION full_disk()",
	} {
		mustExec(t, admin, statement)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Fatalf("Ping before a write failed = %v", err)
	}
	if err := db.Write(t.Context(), inserting(2)); !errors.Is(err, postgresdb.ErrUnavailable) {
		t.Fatalf("Write beyond the space = %v, want ErrUnavailable", err)
	}
	checkFull := func(when string) {
		t.Helper()
		if err := db.Ping(t.Context()); !errors.Is(err, postgresdb.ErrUnavailable) || !strings.Contains(err.Error(), "could not extend") {
			t.Errorf("Ping %s = %v, want ErrUnavailable with the reason", when, err)
		}
	}
	checkFull("after a write that failed")
	if err := db.Write(t.Context(), inserting(1)); err != nil {
		t.Errorf("Write that fits = %v", err)
	}
	checkFull("before there is space")
	mustExec(t, admin, "DROP EVENT TRIGGER full_disk")
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("Ping after space is free = %v", err)
	}
	if tables := mustRead[int](t, admin, "SELECT count(*) FROM pg_tables WHERE schemaname = 'test'"); tables != len(migrations) {
		t.Errorf("%d tables, want %d: the probe leaves none", tables, len(migrations))
	}
}
