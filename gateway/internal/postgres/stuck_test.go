package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// A gateway can be stopped, or its machine can vanish, after it has sent the insertion of its deliveries but not the rest.
func TestStore_Add_terminatesAStuckGateway(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	stuck := postgresql.Connect(t, url)
	if _, err := stuck.Exec(t.Context(), "SELECT pg_advisory_lock_shared($1, 0)", postgresdb.SessionMark); err != nil {
		t.Fatal(err)
	}
	pipeline := stuck.PgConn().StartPipeline(t.Context())
	t.Cleanup(func() { _ = pipeline.Close() })
	pipeline.SendQueryParams("begin", nil, nil, nil, nil)
	pipeline.SendQueryParams("INSERT INTO gateway.deliveries (id, receive_time, state, key, body_hash, event_id, event_name, ticket_id)"+
		" VALUES (nextval('gateway.delivery_ids'), 0, 1, 'estuck', '', 'stuck', '', '')", nil, nil, nil, nil)
	pipeline.SendFlushRequest()
	if err := pipeline.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		results, err := pipeline.GetResults()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := results.(*pgconn.ResultReader).Close(); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	actions := mustAdd(t, store, inboxtest.Incoming("stuck", "one"), inboxtest.Incoming("unrelated", "two"))
	if !slices.Equal(actions, []inbox.Action{inbox.Insert, inbox.Insert}) {
		t.Errorf("actions %v, want both inserted", actions)
	}
	if took := time.Since(begin); took > 7*time.Second {
		t.Errorf("it took %v, want the 4 s that a writer waits for a lock, and little more", took)
	}
	wantStates(t, url, map[inbox.State]int{inbox.Pending: 2})
}
