package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// TestOpen_databaseOfTheFirstVersion has a database of the first version with one event.
func TestOpen_databaseOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	old, err := postgresdb.Open(t.Context(),
		postgresdb.Options{URL: url, Schema: "ticketsvc", Migrations: postgres.Migrations[:1], Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	change := ticket.Change{EventID: "e1", Name: ticket.Created, TicketID: "t1", OccurTime: tickettest.At(1),
		Fields: tickettest.Named("title"),
		Values: ticket.Ticket{Title: "kept"}}
	state := ticket.NewState("t1")
	state.Apply(&change)
	content, stamps := ticketcodec.MarshalState(state)
	at := change.OccurTime.SortableText()
	postgresql.Execute(t, url, "INSERT INTO ticketsvc.events (sequence, event_id, ticket_id, name, full_snapshot, occur_time, receive_time,"+
		" content, payload) VALUES (1, 'e1', 't1', 'ticket.created', false, $1, '', $2, $3)", at,
		ticketcodec.MarshalChangedFields(change.ChangedFields()), ticketcodec.MarshalValues(&change))
	postgresql.Execute(t, url, "INSERT INTO ticketsvc.tickets (ticket_id, status, app_id, category_id, assigned_to, property_id,"+
		" create_time, update_time, stamps, content) VALUES ('t1', 0, '', '', '', '', '', $1, $2, $3)", at, stamps, content)

	store := mustOpen(t, url)
	t.Cleanup(func() { _ = store.Close() })
	if store.DatabaseID() == (ticket.DatabaseID{}) {
		t.Error("it has no id")
	}
	entries, err := store.ReadLog(t.Context(), 0, pageLimit)
	if err != nil || len(entries) != 1 || entries[0].Event.EventID != "e1" || !cmp.Equal(*entries[0].Ticket, state.Ticket) {
		t.Errorf("ReadLog = %+v, %v", entries, err)
	}
}

// TestOpen_databaseOfTheFirstVersionGetsStats has several replicas that start at once.
func TestOpen_databaseOfTheFirstVersionGetsStats(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	old, err := postgresdb.Open(t.Context(), postgresdb.Options{URL: url, Schema: "ticketsvc",
		Migrations: postgres.Migrations[:1], Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	conn := postgresql.Connect(t, url)
	const insert = "INSERT INTO ticketsvc.tickets (ticket_id, erased, status, app_id, category_id, assigned_to, property_id, create_time," +
		" update_time, stamps, content) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	if _, err := conn.Exec(t.Context(), "begin"); err != nil {
		t.Fatal(err)
	}
	states := tickettest.OldStates()
	for _, r := range states {
		content, stamps := ticketcodec.MarshalState(r)
		if r.Ticket.ID == tickettest.CorruptID {
			content = []byte{0xff}
		}
		if _, err := conn.Exec(t.Context(), insert, r.Ticket.ID, false, int32(r.Ticket.Status), postgresdb.EscapeText(r.Ticket.AppID),
			r.Ticket.CategoryID, r.Ticket.AssigneeID, r.Ticket.PropertyID, r.Ticket.CreateTime.SortableText(),
			r.Ticket.UpdateTime.SortableText(), stamps, content); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), insert, "erased", true, 0, "", "", "", "", "", "", []byte{}, []byte{}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}

	var replicas errgroup.Group
	stores := make([]*postgres.Store, 4)
	for i := range stores {
		replicas.Go(func() (err error) {
			stores[i], err = postgres.Open(t.Context(), url, nil)
			return err
		})
	}
	if err := replicas.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, store := range stores {
		t.Cleanup(func() { _ = store.Close() })
	}
	tickettest.CheckUpgraded(t, stores[0], states)
}

func TestMigrations_stayAsTheyAre(t *testing.T) {
	t.Parallel()
	var scripts []string
	for _, migration := range postgres.Migrations {
		scripts = append(scripts, migration.Script)
	}
	tickettest.CheckMigrations(t, scripts, []string{
		"b3fe0f2dee3e2d3f", "09637b446dc8ba90", "0661195486ed856b", "38669ad24d83d7bc",
		"c88780c6810ae14c", "7c1da3e3fabe8d8e",
	})
}

// TestOpen_databaseFromBetweenTwoReleases has a database whose events had nonces before there was a migration for them.
func TestOpen_databaseFromBetweenTwoReleases(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	old, err := postgresdb.Open(t.Context(), postgresdb.Options{URL: url, Schema: "ticketsvc", Migrations: postgres.Migrations[:4],
		Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	postgresql.Execute(t, url, "ALTER TABLE ticketsvc.events ADD COLUMN nonce bigint NOT NULL DEFAULT 0")
	store := mustOpen(t, url)
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.LastPosition(t.Context()); err != nil {
		t.Error(err)
	}
}
