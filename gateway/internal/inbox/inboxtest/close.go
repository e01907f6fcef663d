package inboxtest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func testReopen(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Incoming("1", "one"), Incoming("2", "two"), rejected("3", "three"))
	for _, d := range mustClaim(t, store, Epoch, 10) {
		if d.EventID == "1" {
			mustFinish(t, store, Epoch, forwarded(d))
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = engine.Open(t, "a")
	// By then the lease that was held at the end has run out.
	if diff := cmp.Diff([]string{"2"}, eventIDs(mustClaim(t, store, Epoch.Add(2*lease), 10))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]inbox.Action{inbox.Ignore, inbox.Ignore, inbox.Ignore},
		mustAdd(t, store, Incoming("1", "one"), Incoming("2", "two"), rejected("3", "three"))); diff != "" {
		t.Error(diff)
	}
}

func testClosed(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	mustAdd(t, store, Incoming("1", "one"), Incoming("2", "two"))
	claimed := mustClaim(t, store, Epoch, 1)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"Add":   func() error { _, err := store.Add(t.Context(), []inbox.Incoming{Incoming("3", "three")}); return err },
		"Claim": func() error { _, err := store.Claim(t.Context(), Epoch, lease, 1); return err },
		"Finish": func() error {
			_, err := store.Finish(t.Context(), Epoch, []inbox.Outcome{forwarded(claimed[0])})
			return err
		},
		"NextDue": func() error {
			_, _, err := store.NextDue(t.Context())
			return err
		},
		"ErasureCursor":   func() error { _, err := store.ErasureCursor(t.Context()); return err },
		"AddErasures":     func() error { return store.AddErasures(t.Context(), inbox.ErasureCursor{Generation: 1}, nil, "a") },
		"RestartErasures": func() error { return store.RestartErasures(t.Context(), inbox.ErasureCursor{Generation: 1}) },
		"MissingErasures": func() error { _, err := store.MissingErasures(t.Context(), 1, "", 1); return err },
		"Ping":            func() error { return store.Ping(t.Context()) },
	} {
		if err := call(); !errors.Is(err, inbox.ErrUnavailable) {
			t.Errorf("%s = %v, want ErrUnavailable", name, err)
		}
	}
}
