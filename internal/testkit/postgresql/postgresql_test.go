package postgresql_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgresql.Main(m)) }

func TestDatabase_isNew(t *testing.T) {
	t.Parallel()
	for range 2 {
		connection := postgresql.Connect(t, postgresql.Database(t))
		if _, err := connection.Exec(t.Context(), "CREATE TABLE ticket (id text)"); err != nil {
			t.Error(err)
		}
		if err := connection.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestDatabase_isDroppedWithOpenConnections(t *testing.T) {
	t.Parallel()
	var url string
	var left *pgx.Conn
	t.Run("test", func(t *testing.T) {
		url = postgresql.Database(t)
		left = postgresql.Connect(t, url)
	})
	if left == nil {
		t.Skip("the test within was skipped")
	}
	if err := left.Ping(t.Context()); err == nil {
		t.Error("a connection to the dropped database still answers")
	}
	_ = left.Close(t.Context())
	if connection, err := pgx.Connect(t.Context(), url); err == nil {
		t.Error("the dropped database is still there")
		_ = connection.Close(t.Context())
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, map[string]string{"default_transaction_read_only": "on"})
	connection := postgresql.Connect(t, server.URL("postgres"))
	defer func() { _ = connection.Close(t.Context()) }()
	if _, err := connection.Exec(t.Context(), "CREATE TABLE ticket (id text)"); err == nil {
		t.Error("a table was made on a server that is set to read only")
	}
}

func BenchmarkDatabase(b *testing.B) {
	for b.Loop() {
		postgresql.Database(b)
	}
}
