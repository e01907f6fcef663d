package postgres_test

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestStore_Append_replyToCommitIsLost(t *testing.T) {
	t.Parallel()
	proxy, through := postgresql.NewProxy(t, postgresql.Database(t))
	store := mustOpen(t, through)
	t.Cleanup(func() { _ = store.Close() })
	for name, refuse := range map[string]bool{"the server is there again at once": false, "the server stays away": true} {
		changes := []ticket.Change{change("1 "+name, name), change("2 "+name, name)}
		proxy.Cut(postgresql.Cut{Times: 1, Before: postgresql.Committed, Refuse: refuse})
		_, err := store.Append(t.Context(), changes)
		if !proxy.Restore() || refuse != errors.Is(err, ticket.ErrUnavailable) || !refuse && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		recorded, err := store.Append(t.Context(), changes)
		if err != nil || !recorded[0].Duplicate || !recorded[1].Duplicate {
			t.Errorf("%s: recorded again: %v, %v; want duplicates", name, recorded, err)
		}
		if got, err := store.Get(t.Context(), name, nil); err != nil || got.Revision != 2 {
			t.Errorf("%s: revision %d, %v; want 2", name, got.Revision, err)
		}
	}
}

// TestStore_Append_connectionBreaksAtAnyMoment cuts the connection before the first, the second, … message of the server, until a call
// succeeds.
func TestStore_Append_connectionBreaksAtAnyMoment(t *testing.T) {
	t.Parallel()
	proxy, through := postgresql.NewProxy(t, postgresql.Database(t))
	store := mustOpen(t, through)
	t.Cleanup(func() { _ = store.Close() })
	sequence := int64(0)
	for moment := 1; ; moment++ {
		name := "moment " + string(rune('a'+moment%26)) + string(rune('a'+moment/26))
		changes := []ticket.Change{change("1 "+name, "shared"), change("2 "+name, name)}
		left := moment
		proxy.Cut(postgresql.Cut{Times: 1, Before: func([]byte) bool { left--; return left == 0 }, Refuse: true})
		_, err := store.Append(t.Context(), changes)
		if cut := proxy.Restore(); !cut {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if err != nil && !errors.Is(err, ticket.ErrUnavailable) {
			t.Fatalf("cut at message %d: %v", moment, err)
		}
		// By now either both events are recorded or none.
		recorded, err := store.Append(t.Context(), changes)
		if err != nil || recorded[0] != recorded[1] {
			t.Fatalf("cut at message %d, recorded again: %v, %v", moment, recorded, err)
		}
		sequence += 2
	}
	entries, err := store.ReadLog(t.Context(), sequence-1, pageLimit)
	if err != nil || len(entries) < 2 || entries[0].Event.Sequence != sequence {
		t.Errorf("after %d the log has %+v, %v; want no gap", sequence-1, entries, err)
	}
	if got, err := store.Get(t.Context(), "shared", nil); err != nil || got.Revision != sequence/2+1 {
		t.Errorf("revision %d, %v; want %d", got.Revision, err, sequence/2+1)
	}
}

// TestStore_readsRetryOnLostConnections ends all sessions, as a restart of the server does. That leaves one broken connection for
// each read that ran at the same time.
func TestStore_readsRetryOnLostConnections(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	t.Cleanup(func() { _ = store.Close() })
	if err := <-recordAlone(t.Context(), store, change("e", "t")); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(ctx context.Context) error{
		"Get":      func(ctx context.Context) error { _, err := store.Get(ctx, "t", nil); return err },
		"BatchGet": func(ctx context.Context) error { _, err := store.BatchGet(ctx, []string{"t"}, 1<<20, nil); return err },
		"List": func(ctx context.Context) error {
			_, _, err := store.List(ctx, ticket.Filter{}, ticket.Order{}, nil, ticket.PageLimit{Items: 1, Bytes: ticket.MaxPageBytes})
			return err
		},
		"ListEvents": func(ctx context.Context) error {
			_, _, err := store.ListEvents(ctx, "t", 0, ticket.PageLimit{Items: 1, Bytes: ticket.MaxPageBytes})
			return err
		},
		"ReadLog":      func(ctx context.Context) error { _, err := store.ReadLog(ctx, 0, pageLimit); return err },
		"LastPosition": func(ctx context.Context) error { _, err := store.LastPosition(ctx); return err },
		"ReadSnapshot": func(ctx context.Context) error {
			_, err := store.ReadSnapshot(ctx, ticket.Filter{}, "", pageLimit)
			return err
		},
	} {
		var all errgroup.Group
		for range 100 {
			all.Go(func() error { return read(t.Context()) })
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		postgresql.Execute(t, url, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"+
			" WHERE application_name = 'ticketsvc' AND datname = current_database()")
		for i := range 20 {
			if err := read(t.Context()); err != nil {
				t.Errorf("%s, call %d = %v", name, i, err)
			}
		}
	}
}
