package ticket_test

import (
	"cmp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestInstant_SortableText_order(t *testing.T) {
	t.Parallel()
	instants := rapid.Custom(func(t *rapid.T) ticket.Instant {
		if rapid.IntRange(0, 9).Draw(t, "none") == 0 {
			return ticket.Instant{}
		}
		return ticket.Instant{Set: true, Seconds: rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"),
			Nanos: rapid.Int32Range(0, 999_999_999).Draw(t, "nanos")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := instants.Draw(t, "a"), instants.Draw(t, "b")
		if got, want := cmp.Compare(a.SortableText(), b.SortableText()), a.Compare(b); got != want {
			t.Fatalf("texts %q and %q compare as %d, the moments as %d", a.SortableText(), b.SortableText(), got, want)
		}
		if got, err := ticket.ParseSortableText(a.SortableText()); err != nil || got != a {
			t.Fatalf("%+v comes back as %+v, %v", a, got, err)
		}
	})
}

func TestParseSortableText_malformed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"personal", "0000-01-01T00:00:00.000000000Z", "2026-03-02T07:15:30Z0"} {
		if got, err := ticket.ParseSortableText(text); err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("ParseSortableText(%q) = %+v, %v, want an error that does not repeat what is stored", text, got, err)
		}
	}
}

func TestInstant_Valid(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		instant ticket.Instant
		want    bool
	}{
		{ticket.Instant{}, true},
		{ticket.Instant{Set: true, Seconds: -62135596800}, true},
		{ticket.Instant{Set: true, Seconds: -62135596801, Nanos: 999_999_999}, false},
		{ticket.Instant{Set: true, Seconds: 253402300799, Nanos: 999_999_999}, true},
		{ticket.Instant{Set: true, Seconds: 253402300800}, false},
		{ticket.Instant{Set: true, Nanos: 1_000_000_000}, false},
		{ticket.Instant{Set: true, Nanos: -1}, false},
		{ticket.Instant{Nanos: 1}, false},
	} {
		if got := test.instant.Valid(); got != test.want {
			t.Errorf("%+v: valid %v, want %v", test.instant, got, test.want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]ticket.Status{
		"": 0, "waiting-for-agent": 1, "waiting-for-customer": 2, "waiting-for-external": 3, "closed": 4, "Closed": 0, "waiting-for-godot": 0,
	} {
		if got := ticket.ParseStatus(word); got != want {
			t.Errorf("ParseStatus(%q) = %d, want %d", word, got, want)
		}
	}
}
