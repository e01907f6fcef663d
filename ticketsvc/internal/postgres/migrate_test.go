package postgres_test

import (
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/postgrestest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticketcodec"
)

// TestADatabaseOfTheFirstVersionGetsStats has several replicas start at once.
func TestADatabaseOfTheFirstVersionGetsStats(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	old, err := postgresdb.Open(t.Context(), postgresdb.Options{URL: url, Schema: "ticketsvc",
		Migrations: postgres.Migrations[:1], Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	old.Close()
	conn := postgrestest.Connect(t, url)
	const insert = "INSERT INTO ticketsvc.tickets (ticket_id, erased, status, app_id, category_id, assigned_to, property_id, create_time," +
		" update_time, stamps, content) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	if _, err := conn.Exec(t.Context(), "begin"); err != nil {
		t.Fatal(err)
	}
	records := tickettest.KeptBefore()
	for _, r := range records {
		content, stamps := ticketcodec.MarshalRecord(r)
		if r.Ticket.ID == tickettest.Unreadable {
			content = []byte{0xff}
		}
		if _, err := conn.Exec(t.Context(), insert, r.Ticket.ID, false, int32(r.Ticket.Status), postgresdb.EscapeText(r.Ticket.AppID),
			r.Ticket.CategoryID, r.Ticket.AssignedTo, r.Ticket.PropertyID, r.Ticket.CreateTime.SortableText(),
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
			stores[i], err = postgres.Open(t.Context(), url)
			return err
		})
	}
	if err := replicas.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, store := range stores {
		t.Cleanup(func() { _ = store.Close() })
	}
	tickettest.CheckUpgraded(t, stores[0], records)
}
