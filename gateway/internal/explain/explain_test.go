package explain_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/gateway/internal/explain"
	"github.com/ticketbridge/ticketbridge/gateway/internal/webhook"
	"github.com/ticketbridge/ticketbridge/internal/testkit/samples"
)

var update = flag.Bool("update", false, "write what the tests get to testdata")

var options = explain.Options{BodyOptions: webhook.BodyOptions{MaxBodyBytes: 1 << 20}, FutureTolerance: 24 * time.Hour}

// now is the time at which every body in these tests is received.
var now = time.Date(2026, 6, 19, 12, 0, 0, 0, time.UTC)

// TestWriteTables shows every body of the corpus, and those in testdata, which have forms that the provider does not document.
func TestWriteTables(t *testing.T) {
	t.Parallel()
	for name, body := range bodies(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			if err := explain.WriteTables(&got, []explain.Report{explain.Body(name, body, now, options)}); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", strings.TrimSuffix(name, ".json")+".txt")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("tables (-want +got):\n%s", diff)
			}
		})
	}
}

func bodies(t *testing.T) map[string][]byte {
	t.Helper()
	bodies := map[string][]byte{}
	for _, folder := range []fs.FS{samples.Files, os.DirFS("testdata")} {
		names, err := fs.Glob(folder, "*.json")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if bodies[name], err = fs.ReadFile(folder, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return bodies
}

func TestBody_outcome(t *testing.T) {
	t.Parallel()
	all := bodies(t)
	for name, want := range map[string]explain.Outcome{
		"created-full.json":           explain.Forwarded,
		"created-live-forms.json":     explain.Forwarded,
		"wrong-types.json":            explain.Forwarded,
		"unexpected-event.json":       explain.Rejected,
		"rejected-doubled-key.json":   explain.Rejected,
		"dead-no-ticket-id.json":      explain.Dead,
		"dead-no-time.json":           explain.Dead,
		"dead-unreadable-delta.json":  explain.Dead,
		"dead-from-the-future.json":   explain.Dead,
		"token-in-a-list.json":        explain.Forwarded,
		"time-from-updated-at.json":   explain.Forwarded,
		"updated-before-created.json": explain.Forwarded,
	} {
		if got := explain.Body(name, all[name], now, options); got.Outcome != want || (got.Reason == "") != (want == explain.Forwarded) {
			t.Errorf("%s: %s, reason %q, want %s", name, got.Outcome, got.Reason, want)
		}
	}
	small := options
	small.MaxBodyBytes = 10
	if got := explain.Body("large", all["created-full.json"], now, small); got.Outcome != explain.Rejected || got.Status != 413 {
		t.Errorf("over the size limit: %s with %d, want rejected with 413", got.Outcome, got.Status)
	}
}

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	all := bodies(t)
	var out bytes.Buffer
	if err := explain.WriteJSON(&out, []explain.Report{
		explain.Body("changes", mustCompact(t, all["changes-of-elements.json"]), now, options),
		explain.Body("dead", all["dead-no-time.json"], now, options),
	}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := []string{
		`{"file":"changes","outcome":"forwarded","status":200,"message":"success",` +
			`"eventId":"0b5a1d6e-0000-4000-8000-000000000007","eventName":"ticket.updated",` +
			`"ticketId":"5f0c1e2d3b4a596877660201","ticketIdSource":"data.id","procedure":"TicketUpdated","request":{"event":{` +
			`"eventId":"0b5a1d6e-0000-4000-8000-000000000007","occurTime":"2026-06-18T13:51:53Z","receiveTime":"2026-06-19T12:00:00Z"},` +
			`"ticket":{"ticketId":"5f0c1e2d3b4a596877660201","appId":"82662ee4-0080-4960-8b8f-d7693e6ff3e4","attributes":{` +
			`"labels":"{\"added\":[\"5e00aa02\"],\"removed\":[\"5e00aa01\"]}","tags":"{\"removed\":[\"heating\"]}"}},` +
			`"fieldMask":"appId,attributes,labelIds,tags","elementChangeMask":"labelIds,tags"},` +
			`"forms":[{"field":"data.delta.labels","form":"element change","kept":true},` +
			`{"field":"data.delta.tags","form":"element change","kept":true}]}`,
		`{"file":"dead","outcome":"dead","reason":"no usable event time: event.createdDate: missing, and no updatedAt to take in its place",` +
			`"status":200,"message":"success","eventId":"0b5a1d6e-0000-4000-8000-000000000014","eventName":"ticket.created",` +
			`"ticketId":"5f0c1e2d3b4a596877660201","ticketIdSource":"data.id"}`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func mustCompact(t *testing.T, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, body); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBody_hidesTokens keeps access tokens off the screen: the body is explained as it is kept.
func TestBody_hidesTokens(t *testing.T) {
	t.Parallel()
	reports := []explain.Report{explain.Body("token", bodies(t)["token-in-a-list.json"], now, options)}
	var out bytes.Buffer
	if err := explain.WriteTables(&out, reports); err != nil {
		t.Fatal(err)
	}
	if err := explain.WriteJSON(&out, reports); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "in-clear") {
		t.Errorf("the output holds a token:\n%s", out.String())
	}
}

// TestWriteTables_isHarmlessOnATerminal has characters on which a terminal acts, in each place of a body that a table shows, and in the
// file's name.
func TestWriteTables_isHarmlessOnATerminal(t *testing.T) {
	t.Parallel()
	for _, escaped := range []string{`\u001b[2J`, `\u009b2J`, `\u202e`, `\u2066`, `\u200f`, `\u2028`, `\n`, `\t`, `\u007f`} {
		var raw string
		if err := json.Unmarshal([]byte(`"`+escaped+`"`), &raw); err != nil {
			t.Fatal(err)
		}
		members := `"title":"X","tags":["X"],"labels":"X","customSettings":{"X":"X","kX":["X"]},"X":"X","createdAt":"X",` +
			`"_embedded":{"X":{"X":"X"}}`
		var reports []explain.Report
		for _, text := range []string{escaped, raw} {
			for _, body := range []string{
				`{"event":{"id":"e1","name":"ticket.updated","createdDate":"2026-06-18T13:51:53Z","urn":"urn:allthings:app:X:ticket:c1:t1","data":{` +
					members + `}}}`,
				`{"event":{"id":"X","name":"ticket.updated","urn":"urn:allthings:app:X:ticket:c1:X","data":{"id":"X"}}}`,
				`{"event":{"id":"X","name":"X","data":{"id":"X"}}}`,
			} {
				reports = append(reports, explain.Body("~"+raw, []byte(strings.ReplaceAll(body, "X", "~"+text)), now, options))
			}
		}
		var out bytes.Buffer
		if err := explain.WriteTables(&out, reports); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "~"+raw) {
			t.Errorf("%s is shown as it is:\n%q", escaped, out.String())
		}
	}
}

func TestWriteTables_showsWhatHasTooManyElements(t *testing.T) {
	t.Parallel()
	body := `{"event":{"id":"e","name":"ticket.updated","createdDate":"2026-06-01T00:00:00Z","data":{"id":"t","tags":["a"` +
		strings.Repeat(`,"a"`, 12_000) + `]`
	for i := range 12_000 {
		body += fmt.Sprintf(`,"x%d":1`, i)
	}
	var got bytes.Buffer
	if err := explain.WriteTables(&got, []explain.Report{explain.Body("body", []byte(body+"}}}"), now, options)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"body: forwarded; values that do not fit their field: 2", `tags       ["a",`, `_overflow  {"x0":1,`,
		"data.tags   too many elements", "data        too many elements"} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is missing in\n%s", want, got.String())
		}
	}
}
