package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// TestStore_waitsForTheStandbyAgain cancels a call's wait for the standby, so that the call is committed at the primary only. A second call
// finds that the work is done. It acknowledges the same, so it must wait like the first one.
func TestStore_waitsForTheStandbyAgain(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	store := mustOpen(t, server.URL("postgres"))
	t.Cleanup(func() { _ = store.Close() })
	record := func(eventID, ticketID string, want ticket.AppendResult) func(context.Context) error {
		return func(ctx context.Context) error {
			recorded, err := store.Append(ctx, []ticket.Change{change(eventID, ticketID)})
			if err == nil {
				want.LogEnd = recorded[0].LogEnd
				if recorded[0] != want {
					t.Errorf("recorded %+v, want %+v", recorded[0], want)
				}
			}
			return err
		}
	}
	erase := func(ticketID string) func(context.Context) error {
		return func(ctx context.Context) error { _, err := store.Erase(ctx, ticketID); return err }
	}
	const (
		inLog    = "SELECT count(*) FROM ticketsvc.events WHERE event_id = $1"
		isErased = "SELECT count(*) FROM ticketsvc.tickets WHERE ticket_id = $1 AND erased"
	)
	var added, duplicate, erased = ticket.AppendResult{}, ticket.AppendResult{Duplicate: true}, ticket.AppendResult{Erased: true}
	for name, test := range map[string]struct {
		before, first, again func(context.Context) error
		// shown is positive after the primary shows what the first call did to id.
		shown, id string
	}{
		"an event":                       {nil, record("1", "1", added), record("1", "1", duplicate), inLog, "1"},
		"an event, under another ticket": {nil, record("2", "2", added), record("2", "none", duplicate), inLog, "2"},
		"an erasure":                     {record("3", "3", added), erase("3"), erase("3"), isErased, "3"},
		"an erasure ahead of all events": {nil, erase("4"), erase("4"), isErased, "4"},
		"an erasure of an erased ticket": {erase("5"), erase("5"), erase("5"), isErased, "5"},
		"a late event":                   {nil, erase("6"), record("6", "6", erased), isErased, "6"},
		"an event that was erased":       {record("7", "7", added), erase("7"), record("7", "7", duplicate), isErased, "7"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.before != nil {
				if err := test.before(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			standby := postgresql.LoseStandby(t, server)
			ctx, cancel := context.WithCancel(t.Context())
			result, waits := standby.Begin(t, "ticketsvc", func() error { return test.first(ctx) })
			cancel()
			if err := <-result; !waits || !errors.Is(err, context.Canceled) {
				t.Fatalf("the first call waited %t, %v", waits, err)
			}
			conn := postgresql.Connect(t, server.URL("postgres"))
			for shown := 0; shown == 0; {
				if err := conn.QueryRow(t.Context(), test.shown, test.id).Scan(&shown); err != nil {
					t.Fatal(err)
				}
			}
			result, waits = standby.Begin(t, "ticketsvc", func() error { return test.again(t.Context()) })
			if !waits {
				t.Error("the second call did not wait for the standby")
			}
			standby.Return(t)
			if err := <-result; err != nil {
				t.Errorf("the second call once the standby is back: %v", err)
			}
		})
	}
}

// TestStore_failsWithoutTheStandby cancels sessions that wait for the standby: PostgreSQL then reports success with a warning.
func TestStore_failsWithoutTheStandby(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	store := mustOpen(t, server.URL("postgres"))
	t.Cleanup(func() { _ = store.Close() })
	standby := postgresql.LoseStandby(t, server)
	record := func() error {
		_, err := store.Append(t.Context(), []ticket.Change{change("1", "1"), change("2", "2")})
		return err
	}
	erase := func() error { _, err := store.Erase(t.Context(), "1"); return err }
	for _, call := range []func() error{record, record, erase, erase} {
		result, waits := standby.Begin(t, "ticketsvc", call)
		if !waits {
			t.Fatalf("a call did not wait for the standby: %v", <-result)
		}
		standby.Cancel(t, "ticketsvc")
		if err := <-result; !errors.Is(err, ticket.ErrUnavailable) {
			t.Errorf("a call whose wait was cancelled = %v, want ErrUnavailable", err)
		}
	}
}
