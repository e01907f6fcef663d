package sqlite_test

import (
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
)

func TestOpen_fileOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	old, err := sqlitedb.Open(t.Context(), sqlitedb.Options{Path: path(t, "a"), ApplicationID: sqlite.ApplicationID,
		Migrations: sqlite.Migrations[:1], Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Writer.ExecContext(t.Context(), `INSERT INTO deliveries (id, key, state, receive_time, next_attempt_time, event_id,
		event_name, ticket_id, body_hash) VALUES (7, x'6531', 1, 1, 1, '1', 'ticket.created', 't', x'00');
		INSERT INTO payloads VALUES (7, x'78', '', '', '', '')`); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), path(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if claimed, err := store.Claim(t.Context(), inboxtest.Epoch, time.Minute, 10); err != nil || len(claimed) != 1 || claimed[0].ID != 7 {
		t.Errorf("claimed %+v, %v; want the delivery of the file", claimed, err)
	}
	if cursor, err := store.ErasureCursor(t.Context()); err != nil || cursor != (inbox.ErasureCursor{Generation: 1}) {
		t.Errorf("ErasureCursor = %+v, %v; want the beginning", cursor, err)
	}
}

// TestOpen_replayOfAnOlderVersion has a running replay of an older version. It went from the oldest delivery to the newest, and has covered
// the first.
func TestOpen_replayOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	old, err := sqlitedb.Open(t.Context(), sqlitedb.Options{Path: path(t, "a"), ApplicationID: sqlite.ApplicationID,
		Migrations: sqlite.Migrations[:3], Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Writer.ExecContext(t.Context(), `INSERT INTO deliveries (id, key, state, receive_time, forward_time, event_id,
		event_name, ticket_id, body_hash) VALUES (1, x'01', 2, 1, 1, '1', '', 't', x''), (2, x'02', 2, 1, 1, '2', '', 't', x''),
		(3, x'03', 2, 1, 1, '3', '', 't', x''); INSERT INTO payloads SELECT id, x'78', '', '', '', '' FROM deliveries;
		INSERT INTO replay (one, since, after_id, through_id) VALUES (1, 0, 1, 3)`); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), path(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if replay, err := store.ReplayStep(t.Context(), inboxtest.Epoch, 10); err != nil || !replay.Ended || replay.Requeued != 3 {
		t.Errorf("ReplayStep = %+v, %v; want all three deliveries", replay, err)
	}
}

func TestMigrations_stayAsTheyAre(t *testing.T) {
	t.Parallel()
	var scripts []string
	for _, step := range sqlite.Migrations {
		scripts = append(scripts, step.Script)
	}
	inboxtest.CheckMigrations(t, scripts, []string{"5a699afc4344c6c4", "0f4fbcdf0a3c3692", "a652e29ca630bf60", "285ec16e1223f9cd"})
}
