package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
	"github.com/ticketbridge/ticketbridge/internal/id"
)

func addSeeds(f *testing.F) {
	f.Helper()
	for _, path := range corpus(f) {
		f.Add(mustRead(f, path))
	}
	for _, body := range []string{
		``, `null`, `[]`, `{}`, `{"event":{"id":"e","name":"ticket.created","data":{"id":7,"token":"s"}}}`,
		`{"event":{"id":"\ud800","name":"ticket.updated","urn":"urn:allthings:app:a:ticket:c:t"}}`,
		`{"event":{"id":"e","name":"ticket.updated","urn":"urn:allthings:app:\u001b:ticket:c:\u009b"}}`,
		`{"event":{"id":"e","name":"ticket.updated","data":{"ticket":{"id":"t","\u0074oken":{"a":[1]}}}}}`,
		`{"event":{"id":"e","name":"ticket.updated","data":{"id":{"$oid":"t"},` +
			`"delta":[{"old":"s","field":"token"},{"path":"\/token","value":{"a":1}}]}}}`,
		`{"token":"a\"b","x":["token",{"token":null}]}`, `{"a":"x "token":"s"`, `"token":`, `"toke\u006e":"`,
	} {
		f.Add([]byte(body))
	}
}

func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		got, err := event.Parse(body)
		if !bytes.Equal(before, body) {
			t.Fatal("Parse changed the body")
		}
		if err != nil {
			if _, ok := errors.AsType[*event.Error](err); !ok {
				t.Fatalf("error of type %T", err)
			}
		} else if !json.Valid(body) || got.EventID == "" {
			t.Fatalf("accepted: %+v", got)
		}
		for _, text := range []string{got.EventID, got.EventName, got.TicketID, got.AppID, got.URN} {
			if !utf8.ValidString(text) || bytes.IndexByte([]byte(text), 0) >= 0 {
				t.Fatalf("not fit for a database: %q", text)
			}
		}
		for _, id := range []string{got.EventID, got.TicketID, got.AppID} {
			if strings.ContainsFunc(id, unicode.IsControl) {
				t.Fatalf("not fit for a log: %q", id)
			}
		}
		if max(len(got.EventID), len(got.EventName), len(got.TicketID)) > id.MaxBytes {
			t.Fatalf("too long: %+v", got)
		}
	})
}

func FuzzRedact(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		out := event.Redact(body)
		if again := event.Redact(out); !bytes.Equal(again, out) {
			t.Fatalf("not stable: %q then %q", out, again)
		}
		if json.Valid(body) && !json.Valid(out) {
			t.Fatalf("no longer well-formed: %q", out)
		}
		if json.Valid(out) {
			var value any
			if err := json.Unmarshal(out, &value); err == nil && !tokensAreRedacted(value) {
				t.Fatalf("a token survived in %q", out)
			}
		}
		want, wantErr := event.Parse(body)
		got, err := event.Parse(out)
		if wantErr != nil {
			return
		}
		want.Data, got.Data = event.Redact(want.Data), event.Redact(got.Data)
		want.CreatedDate, got.CreatedDate = event.Redact(want.CreatedDate), event.Redact(got.CreatedDate)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("another envelope after Redact: %v\n%s", err, diff)
		}
	})
}

func tokensAreRedacted(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			if name == "token" && member != "redacted" || !tokensAreRedacted(member) {
				return false
			}
		}
		if value["field"] == "token" || value["path"] == "/token" || value["path"] == "/ticket/token" {
			for _, name := range []string{"value", "old", "new", "to", "before", "after", "removed", "added"} {
				if member, ok := value[name]; ok && member != "redacted" {
					return false
				}
			}
		}
	case []any:
		for _, element := range value {
			if !tokensAreRedacted(element) {
				return false
			}
		}
	}
	return true
}
