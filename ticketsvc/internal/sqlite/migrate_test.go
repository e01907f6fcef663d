package sqlite_test

import (
	"compress/gzip"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/internal/sqlitedb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// TestOpen_fileOfTheFirstVersion has a file of the first version with one event.
func TestOpen_fileOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	old, err := sqlitedb.Open(t.Context(), sqlitedb.Options{Path: path, ApplicationID: sqlite.ApplicationID, Migrations: sqlite.Migrations[:1],
		Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	change := ticket.Change{EventID: "e1", Name: ticket.Created, TicketID: "t1", OccurTime: tickettest.At(1),
		Fields: tickettest.Named("title"),
		Values: ticket.Ticket{Title: "kept"}}
	record := ticket.NewState("t1")
	record.Apply(&change)
	content, stamps := ticketcodec.MarshalState(record)
	at := change.OccurTime.SortableText()
	if _, err := old.Writer.ExecContext(t.Context(), "INSERT INTO events (sequence, event_id, ticket_id, name, full_snapshot, occur_time,"+
		" receive_time, content, payload) VALUES (1, 'e1', 't1', 'ticket.created', 0, ?, '', ?, ?)", at,
		ticketcodec.MarshalChangedFields(change.ChangedFields()), ticketcodec.MarshalValues(&change)); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Writer.ExecContext(t.Context(), "INSERT INTO tickets (ticket_id, status, app_id, category_id, assigned_to, property_id,"+
		" create_time, update_time, stamps, content) VALUES ('t1', 0, '', '', '', '', '', ?, ?, ?)", at, stamps, content); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if store.DatabaseID() == (ticket.DatabaseID{}) {
		t.Error("it has no id")
	}
	if got, err := store.Get(t.Context(), "t1", nil); err != nil || !cmp.Equal(got, record.Ticket) {
		t.Errorf("Get = %+v, %v", got, err)
	}
	got, _, err := store.List(t.Context(), ticket.Filter{Text: "kept"}, ticket.Order{}, nil,
		ticket.PageLimit{Items: 10, Bytes: ticket.MaxPageBytes})
	if err != nil || len(got) != 1 {
		t.Errorf("List by its words = %+v, %v", got, err)
	}
	recorded, err := store.Append(t.Context(), []ticket.Change{change})
	if err != nil || len(recorded) != 1 || !recorded[0].Duplicate {
		t.Errorf("its event once more: %+v, %v; want a duplicate", recorded, err)
	}
	if events, err := store.Erase(t.Context(), "t1"); err != nil || events != 1 {
		t.Errorf("Erase = %d, %v", events, err)
	}
	log, err := store.ReadLog(t.Context(), 0, ticket.PageLimit{Items: 10, Bytes: ticket.MaxPageBytes})
	if err != nil || len(log) != 2 || log[0].Event.EventID != "e1" || log[1].Event.Name != ticket.Erased {
		t.Errorf("ReadLog = %+v, %v", log, err)
	}
}

func TestOpen_fileOfTheSecondVersionGetsStats(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	old, err := sqlitedb.Open(t.Context(), sqlitedb.Options{Path: path, ApplicationID: sqlite.ApplicationID,
		Migrations: sqlite.Migrations[:2], Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	records := tickettest.OldStates()
	if err := old.Write(t.Context(), func(tx *sql.Tx) error {
		for _, r := range records {
			content, stamps := ticketcodec.MarshalState(r)
			if r.Ticket.ID == tickettest.CorruptID {
				content = []byte{0xff}
			}
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO tickets (ticket_id, status, app_id, category_id, assigned_to, property_id,"+
				" create_time, update_time, stamps, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", r.Ticket.ID, int64(r.Ticket.Status),
				r.Ticket.AppID, r.Ticket.CategoryID, r.Ticket.AssigneeID, r.Ticket.PropertyID, r.Ticket.CreateTime.SortableText(),
				r.Ticket.UpdateTime.SortableText(), stamps, content); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(t.Context(), "INSERT INTO tickets (ticket_id, erased, status, app_id, category_id, assigned_to, property_id,"+
			" create_time, update_time, stamps, content) VALUES ('erased', 1, 0, '', '', '', '', '', '', x'', x'')")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	store := mustOpen(t, path)
	t.Cleanup(func() { _ = store.Close() })
	tickettest.CheckUpgraded(t, store, records)
}

// TestOpen_indexesWordsOfAnOlderVersion has more tickets than are indexed in one transaction, one ticket that can't be decoded, and one
// that was erased. They are indexed at the second start: the first one ends, as if it were killed, after the tables were created.
func TestOpen_indexesWordsOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	options := sqlitedb.Options{Path: path, ApplicationID: sqlite.ApplicationID, Migrations: sqlite.Migrations[:2], Readers: 1}
	old, err := sqlitedb.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	const tickets = 1200
	if err := old.Write(t.Context(), func(tx *sql.Tx) error {
		for i := range tickets {
			record := ticket.NewState(fmt.Sprintf("t%d", i))
			record.Apply(&ticket.Change{EventID: "e", Name: ticket.Created, OccurTime: tickettest.At(int64(i)), Fields: tickettest.Named("title"),
				Values: ticket.Ticket{Title: fmt.Sprintf("common word%d", i)}})
			content, stamps := ticketcodec.MarshalState(record)
			erased := i == 8
			switch i {
			case 7:
				content = []byte{0xff}
			case 8:
				content, stamps = nil, nil
			}
			if _, err := tx.Exec("INSERT INTO tickets (ticket_id, erased, status, app_id, category_id, assigned_to, property_id, create_time,"+
				" update_time, stamps, content) VALUES (?, ?, 0, '', '', '', '', '', ?, coalesce(?, x''), coalesce(?, x''))", record.Ticket.ID, erased,
				record.Ticket.UpdateTime.SortableText(), stamps, content); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	options.Migrations = sqlite.Migrations
	cut, err := sqlitedb.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := cut.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		store := mustOpen(t, path)
		for text, want := range map[string]int{"word7": 110, "word5": 111, "word1199": 1, "word8": 110} {
			got, _, err := store.List(t.Context(), ticket.Filter{Text: text}, ticket.Order{Descending: true}, nil,
				ticket.PageLimit{Items: tickets, Bytes: ticket.MaxPageBytes})
			if err != nil || len(got) != want {
				t.Errorf("List of %q = %d tickets, %v; want %d", text, len(got), err, want)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOpen_fileWithVersionsOfForm1 has a file of the last version without update times in the order of events. Two of its events have the
// same time. The one with the greater id is current, although the other one has the later update time.
func TestOpen_fileWithVersionsOfForm1(t *testing.T) {
	t.Parallel()
	packed, err := os.Open("testdata/versions-form-1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = packed.Close() }()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tickets.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	store := mustOpen(t, path)
	t.Cleanup(func() { _ = store.Close() })

	limit := ticket.PageLimit{Items: 10, Bytes: ticket.MaxPageBytes}
	check := func(status string, complete bool, outcomes ...ticket.Outcome) {
		t.Helper()
		got, err := store.Get(t.Context(), "tie", nil)
		if err != nil || got.StatusText != status || got.Complete != complete || int(got.Revision) != len(outcomes) {
			t.Errorf("Get = %+v, %v; want status %s, complete %v", got, err, status, complete)
		}
		// The log must give the same ticket as the stored one.
		before, err := store.TicketBefore(t.Context(), "tie", 100, limit)
		if err != nil || before.StatusText != status || before.Complete != complete {
			t.Errorf("TicketBefore = %+v, %v; want status %s, complete %v", before, err, status, complete)
		}
		events, _, err := store.ListEvents(t.Context(), "tie", 0, ticket.PageLimit{Items: 100, Bytes: ticket.MaxPageBytes})
		if err != nil {
			t.Fatal(err)
		}
		var listed []ticket.Outcome
		for _, e := range events {
			listed = append(listed, e.Outcome)
		}
		if diff := cmp.Diff(outcomes, listed); diff != "" {
			t.Error(diff)
		}
	}
	record := func(c ticket.Change) {
		t.Helper()
		recorded, err := store.Append(t.Context(), []ticket.Change{c})
		if err != nil || recorded[0] != (ticket.AppendResult{LogEnd: recorded[0].LogEnd}) {
			t.Fatalf("Record = %+v, %v", recorded, err)
		}
	}
	const current, partly, superseded = ticket.OutcomeCurrent, ticket.OutcomePartlySuperseded, ticket.OutcomeSuperseded
	check("waiting-for-customer", true, partly, current, superseded, current)
	record(ticket.Change{EventID: "labels", Name: ticket.Updated, TicketID: "tie", OccurTime: tickettest.At(5),
		Fields: tickettest.Named("label_ids"), ElementChanges: tickettest.Named("label_ids")})
	check("waiting-for-customer", false, partly, current, superseded, current, current)
	// This event has the same time as the two events, and an update time.
	record(ticket.Change{EventID: "00", Name: ticket.Updated, TicketID: "tie", OccurTime: tickettest.At(2),
		Fields: tickettest.Named("status_text", "update_time"),
		Values: ticket.Ticket{StatusText: "waiting-for-external", UpdateTime: tickettest.At(1)}})
	check("waiting-for-external", false, partly, superseded, superseded, current, current, current)

	created := ticket.Change{EventID: "late", Name: ticket.Created, TicketID: "incomplete", OccurTime: tickettest.At(3)}
	if got, err := store.Get(t.Context(), "incomplete", nil); err != nil || got.Complete {
		t.Errorf("Get = %+v, %v", got, err)
	}
	record(created)
	if got, err := store.Get(t.Context(), "incomplete", nil); err != nil || !got.Complete || got.Title != "early" {
		t.Errorf("Get = %+v, %v; want it complete", got, err)
	}
}

func TestMigrations_stayAsTheyAre(t *testing.T) {
	t.Parallel()
	var scripts []string
	for _, migration := range sqlite.Migrations {
		scripts = append(scripts, migration.Script)
	}
	tickettest.CheckMigrations(t, scripts, []string{
		"41707825759a15d8", "abfe165703b13503", "f8626bc9a79cb4f8", "41fa4003764acb18",
		"b6a67e03a6415218", "38a4914d13aeaa65", "3277a33baa8b100e",
	})
}

// TestOpen_fileFromBetweenTwoReleases has a file whose events had nonces before there was a migration for them.
func TestOpen_fileFromBetweenTwoReleases(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	old, err := sqlitedb.Open(t.Context(), sqlitedb.Options{Path: path, ApplicationID: sqlite.ApplicationID,
		Migrations: sqlite.Migrations[:5], Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Writer.ExecContext(t.Context(), "ALTER TABLE events ADD COLUMN nonce INTEGER NOT NULL DEFAULT 0"); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	store := mustOpen(t, path)
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.LastPosition(t.Context()); err != nil {
		t.Error(err)
	}
}
