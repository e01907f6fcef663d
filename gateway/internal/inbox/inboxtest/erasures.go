package inboxtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
)

func erasure(id string) inbox.Erasure {
	return inbox.Erasure{TicketID: id, Receipt: []byte("\x00receipt of " + id)}
}

func wantCursor(t *testing.T, store inbox.Store, generation int64, position string) inbox.ErasureCursor {
	t.Helper()
	got, err := store.ErasureCursor(t.Context())
	if want := (inbox.ErasureCursor{Generation: generation, Position: position}); err != nil || got != want {
		t.Fatalf("ErasureCursor = %+v, %v; want %+v", got, err, want)
	}
	return got
}

func mustAddErasures(t *testing.T, store inbox.Store, at inbox.ErasureCursor, position string, ids ...string) {
	t.Helper()
	erasures := make([]inbox.Erasure, len(ids))
	for i, id := range ids {
		erasures[i] = erasure(id)
	}
	if err := store.AddErasures(t.Context(), at, erasures, position); err != nil {
		t.Fatal(err)
	}
}

// wantMissing fails if other erasures than these are missing in a generation.
func wantMissing(t *testing.T, store inbox.Store, generation int64, ids ...string) {
	t.Helper()
	var want, got []inbox.Erasure
	for _, id := range ids {
		want = append(want, erasure(id))
	}
	for after := ""; ; {
		page, err := store.MissingErasures(t.Context(), generation, after, 2)
		if err != nil || len(page) > 2 {
			t.Fatalf("MissingErasures = %v, %v; want at most 2", page, err)
		}
		if len(page) == 0 {
			break
		}
		got, after = append(got, page...), page[len(page)-1].TicketID
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("missing in generation %d: want (-), got (+):\n%s", generation, diff)
	}
}

func testErasures(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	odd := "b\x00\x01 ü"
	mustAddErasures(t, store, wantCursor(t, store, 1, ""), "after c", "a", odd, "c")
	mustAddErasures(t, store, wantCursor(t, store, 1, "after c"), "after d", "d")
	wantMissing(t, store, 1)
	if err := store.RestartErasures(t.Context(), wantCursor(t, store, 1, "after d")); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, store, 2, "a", odd, "c", "d")
	// ticketsvc has some of them, and another receipt for one.
	at := wantCursor(t, store, 2, "")
	if err := store.AddErasures(t.Context(), at, []inbox.Erasure{erasure("a"), {TicketID: "d", Receipt: []byte("new")}}, "anew"); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, store, 2, odd, "c")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = engine.Open(t, "a")
	wantCursor(t, store, 2, "anew")
	wantMissing(t, store, 2, odd, "c")
	missing, err := store.MissingErasures(t.Context(), 3, "c", 10)
	if diff := cmp.Diff([]inbox.Erasure{{TicketID: "d", Receipt: []byte("new")}}, missing); err != nil || diff != "" {
		t.Errorf("after c, in the next generation: %v\n%s", err, diff)
	}
}

// testErasureReaders has a late reader: the other reader continued, or began anew, in the meantime.
func testErasureReaders(t *testing.T, engine Engine) {
	stores := engine.several(t, 2)
	late := wantCursor(t, stores[0], 1, "")
	mustAddErasures(t, stores[1], late, "after a", "a")
	mustAddErasures(t, stores[0], late, "after x", "x")
	if err := stores[0].RestartErasures(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	at := wantCursor(t, stores[0], 1, "after a")
	for range 2 {
		if err := stores[1].RestartErasures(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	mustAddErasures(t, stores[0], late, "after a", "a")
	wantCursor(t, stores[0], 2, "")
	wantMissing(t, stores[0], 2, "a")
	wantMissing(t, stores[0], 1)
}

func testErasuresCutShort(t *testing.T, engine Engine) {
	store := engine.Open(t, "a")
	at := wantCursor(t, store, 1, "")
	cutShort(t, func(ctx context.Context, _ int) error {
		return store.AddErasures(ctx, at, []inbox.Erasure{erasure("a"), erasure("b")}, "after b")
	}, func(step int) {
		cursor, err := store.ErasureCursor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kept, err := store.MissingErasures(t.Context(), 9, "", 10)
		if err != nil || (cursor != at || len(kept) != 0) && (cursor.Position != "after b" || len(kept) != 2) {
			t.Errorf("at step %d: cursor %+v, %d erasures, %v; want all or nothing", step, cursor, len(kept), err)
		}
	})
	wantCursor(t, store, 1, "after b")
	for name, read := range map[string]func(ctx context.Context) (string, error){
		"ErasureCursor": func(ctx context.Context) (string, error) {
			c, err := store.ErasureCursor(ctx)
			return fmt.Sprint(c), err
		},
		"MissingErasures": func(ctx context.Context) (string, error) {
			m, err := store.MissingErasures(ctx, 2, "", 9)
			return fmt.Sprint(m), err
		},
	} {
		want, err := read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cutShort(t, func(ctx context.Context, step int) error {
			got, err := read(ctx)
			if err == nil && got != want {
				t.Errorf("%s at step %d = %s, want %s", name, step, got, want)
			}
			return err
		}, func(int) {})
	}
}
