package postgresdb_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// texts generates strings in which the relevant characters are much more frequent than by chance.
var texts = rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune{0, 1, 2, 'a', 'é', '\U0010FFFF'})))

func TestEscapeText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := texts.Draw(t, "a"), texts.Draw(t, "b")
		escapedA, escapedB := postgresdb.EscapeText(a), postgresdb.EscapeText(b)
		if strings.Contains(escapedA, "\x00") {
			t.Errorf("%q holds a NUL", escapedA)
		}
		if got := postgresdb.UnescapeText(escapedA); got != a {
			t.Errorf("%q became %q by way of %q", a, got, escapedA)
		}
		// This also shows that different strings stay different.
		if strings.Compare(a, b) != strings.Compare(escapedA, escapedB) {
			t.Errorf("%q and %q change their order as %q and %q", a, b, escapedA, escapedB)
		}
		if !strings.ContainsAny(a, "\x00\x01") && escapedA != a {
			t.Errorf("%q became %q, want it unchanged", a, escapedA)
		}
	})
}

func TestEscapeText_keepsTheOrderInAColumn(t *testing.T) {
	t.Parallel()
	// All strings of up to three of these characters.
	want := []string{""}
	for begin, length := 0, 0; length < 3; length++ {
		end := len(want)
		for _, text := range want[begin:end] {
			for _, character := range []string{"\x00", "\x01", "\x02", "a", "é", "\U0010FFFF"} {
				want = append(want, text+character)
			}
		}
		begin = end
	}
	conn := postgresql.Connect(t, postgresql.Database(t))
	mustExec(t, conn, `CREATE TABLE texts (text text COLLATE "C" PRIMARY KEY)`)
	columns := make([]string, len(want))
	for i, text := range want {
		columns[i] = postgresdb.EscapeText(text)
	}
	mustExec(t, conn, "INSERT INTO texts SELECT unnest($1::text[])", columns)
	rows, err := conn.Query(t.Context(), "SELECT text FROM texts ORDER BY text")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for i, column := range got {
		got[i] = postgresdb.UnescapeText(column)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
