package postgres_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestStore_Append_lockedTicketDelaysNoOther(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.Append(t.Context(), []ticket.Change{change("e1", "held"), change("e2", "free")}); err != nil {
		t.Fatal(err)
	}
	// This is like a person with psql, with the default settings of another role.
	conn := postgresql.Connect(t, url)
	for _, statement := range []string{"begin", "SELECT FROM ticketsvc.tickets WHERE ticket_id = 'held' FOR UPDATE"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	changes := []ticket.Change{change("e3", "held"), change("e4", "free"), change("e5", "new"), change("e1", "held")}
	recorded, err := store.Append(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(recorded[0].Err, ticket.ErrLocked) || recorded[1] != (ticket.AppendResult{LogEnd: recorded[1].LogEnd}) ||
		recorded[2] != (ticket.AppendResult{LogEnd: recorded[2].LogEnd}) ||
		recorded[3] != (ticket.AppendResult{Duplicate: true, LogEnd: recorded[3].LogEnd}) {
		t.Errorf("recorded %+v; want the first one held, the others done, the last a duplicate", recorded)
	}
	if _, err := conn.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	if recorded, err = store.Append(t.Context(), changes[:1]); err != nil || recorded[0] != (ticket.AppendResult{LogEnd: recorded[0].LogEnd}) {
		t.Errorf("once it is free: %+v, %v", recorded, err)
	}
	for id, want := range map[string]int64{"held": 2, "free": 2, "new": 1} {
		if got, err := store.Get(t.Context(), id, nil); err != nil || got.Revision != want {
			t.Error(fmt.Errorf("ticket %s has revision %d, want %d: %w", id, got.Revision, want, err))
		}
	}
}
