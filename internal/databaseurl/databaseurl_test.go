package databaseurl_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/internal/databaseurl"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]databaseurl.URL{
		"sqlite:data/a.db":              {SQLitePath: "data/a.db", Name: "data/a.db"},
		"sqlite:/var/lib/a b%.db":       {SQLitePath: "/var/lib/a b%.db", Name: "/var/lib/a b%.db"},
		"postgres://u:secret@h:5433/db": {PostgresURL: "postgres://u:secret@h:5433/db", Name: "postgres://h:5433/db"},
		"postgresql://u@[::1]/db":       {PostgresURL: "postgresql://u@[::1]/db", Name: "postgres://[::1]:5432/db"},
	} {
		got, err := databaseurl.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestParse_refusals(t *testing.T) {
	t.Parallel()
	const form = "is not of the form "
	for text, want := range map[string]string{
		"":                              form,
		"sqlite:":                       form,
		"sqlite::memory:":               form,
		"sqlite://data/a.db":            form,
		"data/a.db":                     form,
		"mysql://u:secret@h/db":         form,
		"postgres:u:secret@h":           form,
		"postgres://u:secret@h:port/db": form,
		"postgres://u:secret%zz@h/db":   form,
		"postgres://u:secret@h/db?sslmode=secret": "has no usable value for sslmode",
	} {
		got, err := databaseurl.Parse(text)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s gave %+v, %v; want %q", text, got, err, want)
		}
	}
}
