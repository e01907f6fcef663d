package postgres_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// TestStore_Add_waitsForTheStandbyAgain cuts off the wait of deliveries for the standby, so that only the primary keeps them. Then it adds
// the same deliveries once more. Each answer to that is a 2xx or 4xx, so the second call must wait as the first one did.
func TestStore_Add_waitsForTheStandbyAgain(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	store := mustOpen(t, server.URL("postgres"))
	good := inboxtest.Incoming
	stale := func(eventID, body string) inbox.Incoming {
		a := good(eventID, body)
		a.RejectReason = "stale"
		return a
	}
	for name, test := range map[string]struct {
		first, again []inbox.Incoming
		want         []inbox.Action
	}{
		"a good delivery":   {[]inbox.Incoming{good("1", "a")}, nil, []inbox.Action{inbox.Ignore}},
		"a rejected one":    {[]inbox.Incoming{stale("2", "a")}, nil, []inbox.Action{inbox.Ignore}},
		"one without an id": {[]inbox.Incoming{stale("", "a")}, nil, []inbox.Action{inbox.Ignore}},
		"a rejected one of an event that is kept": {[]inbox.Incoming{good("3", "a")}, []inbox.Incoming{stale("3", "a")},
			[]inbox.Action{inbox.Ignore}},
		"another body of an event, set aside": {[]inbox.Incoming{good("4", "a"), good("4", "b")}, []inbox.Incoming{good("4", "b")},
			[]inbox.Action{inbox.Ignore}},
		"several that are kept": {[]inbox.Incoming{good("5", "a"), stale("6", "a")}, nil, []inbox.Action{inbox.Ignore, inbox.Ignore}},
		"several, of which one is new": {[]inbox.Incoming{good("7", "a")}, []inbox.Incoming{good("7", "a"), good("8", "a")},
			[]inbox.Action{inbox.Ignore, inbox.Insert}},
	} {
		t.Run(name, func(t *testing.T) {
			standby := postgresql.LoseStandby(t, server)
			ctx, cancel := context.WithCancel(t.Context())
			result, waits := standby.Begin(t, "gateway", func() error { _, err := store.Add(ctx, test.first); return err })
			cancel()
			if err := <-result; !waits || !errors.Is(err, context.Canceled) {
				t.Fatalf("the first Add waited %t, %v", waits, err)
			}
			awaitKept(t, server.URL("postgres"), test.first)
			again := test.again
			if again == nil {
				again = test.first
			}
			var actions []inbox.Action
			result, waits = standby.Begin(t, "gateway", func() (err error) {
				actions, err = store.Add(t.Context(), again)
				return err
			})
			if !waits {
				t.Errorf("Add of what is kept did not wait for the standby")
			}
			standby.Return(t)
			if err := <-result; err != nil || !slices.Equal(actions, test.want) {
				t.Errorf("Add once the standby is back = %v, %v; want %v", actions, err, test.want)
			}
		})
	}
}

// TestStore_Add_failsWithoutTheStandby cancels a session that waits for the standby. PostgreSQL then reports success, with a warning. All
// deliveries of the transaction fail.
func TestStore_Add_failsWithoutTheStandby(t *testing.T) {
	t.Parallel()
	server := postgresql.Server(t, nil)
	store := mustOpen(t, server.URL("postgres"))
	standby := postgresql.LoseStandby(t, server)
	incoming := []inbox.Incoming{inboxtest.Incoming("1", "a"), inboxtest.Incoming("2", "b")}
	for _, name := range []string{"new deliveries", "the same again"} {
		result, waits := standby.Begin(t, "gateway", func() error { _, err := store.Add(t.Context(), incoming); return err })
		if !waits {
			t.Fatalf("%s did not wait for the standby: %v", name, <-result)
		}
		standby.Cancel(t, "gateway")
		if err := <-result; !errors.Is(err, inbox.ErrUnavailable) {
			t.Errorf("%s: Add = %v, want ErrUnavailable", name, err)
		}
	}
}

// awaitKept waits until the primary shows the deliveries that were cut off.
func awaitKept(t *testing.T, url string, incoming []inbox.Incoming) {
	t.Helper()
	key, conn := []byte(incoming[0].Key()), postgresql.Connect(t, url)
	for kept := 0; kept == 0; {
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM gateway.deliveries WHERE key = $1", key).Scan(&kept); err != nil {
			t.Fatal(err)
		}
	}
}
