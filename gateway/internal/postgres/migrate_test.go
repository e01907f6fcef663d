package postgres_test

import (
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/postgres"
	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestOpen_databaseOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	old, err := postgresdb.Open(t.Context(), postgresdb.Options{URL: url, Schema: "gateway", Migrations: postgres.Migrations[:1],
		Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	postgresql.Execute(t, url, `INSERT INTO gateway.deliveries (id, key, state, receive_time, next_attempt_time, due_time, event_id,
		event_name, ticket_id, body_hash) VALUES (7, '\x6531', 1, 1, 1, 1, '1', 'ticket.created', 't', '\x00')`)
	postgresql.Execute(t, url, `INSERT INTO gateway.payloads VALUES (7, '\x78', '', '', '', '')`)
	store := mustOpen(t, url)
	if claimed, err := store.Claim(t.Context(), inboxtest.Epoch, time.Minute, 10); err != nil || len(claimed) != 1 || claimed[0].ID != 7 {
		t.Errorf("claimed %+v, %v; want the delivery of the database", claimed, err)
	}
	if cursor, err := store.ErasureCursor(t.Context()); err != nil || cursor != (inbox.ErasureCursor{Generation: 1}) {
		t.Errorf("ErasureCursor = %+v, %v; want the beginning", cursor, err)
	}
}

// TestOpen_replayOfAnOlderVersion has a running replay of an older version. It went from the oldest delivery to the newest, and has covered
// the first.
func TestOpen_replayOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	old, err := postgresdb.Open(t.Context(), postgresdb.Options{URL: url, Schema: "gateway", Migrations: postgres.Migrations[:3],
		Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	for _, statement := range []string{
		`INSERT INTO gateway.deliveries (id, key, state, receive_time, forward_time, event_id, event_name, ticket_id, body_hash)
		SELECT n, n::text::bytea, 2, 1, 1, n::text, '', 't', '' FROM generate_series(1, 3) AS n`,
		`INSERT INTO gateway.payloads SELECT id, '\x78', '', '', '', '' FROM gateway.deliveries`,
		`INSERT INTO gateway.replay (one, since, after_id, through_id) VALUES (1, 0, 1, 3)`,
	} {
		postgresql.Execute(t, url, statement)
	}
	replay, err := mustOpen(t, url).ReplayStep(t.Context(), inboxtest.Epoch, 10)
	if err != nil || !replay.Ended || replay.Requeued != 3 {
		t.Errorf("ReplayStep = %+v, %v; want all three deliveries", replay, err)
	}
}

func TestMigrations_stayAsTheyAre(t *testing.T) {
	t.Parallel()
	var scripts []string
	for _, step := range postgres.Migrations {
		scripts = append(scripts, step.Script)
	}
	inboxtest.CheckMigrations(t, scripts, []string{"454fe9e1a43af3f0", "e3c0903b12cbab37", "982968aaa629ae84", "54f041474cfd1149"})
}
