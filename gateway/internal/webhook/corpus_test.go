package webhook_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus returns the sample deliveries, which are in internal/testkit/samples.
func corpus(tb testing.TB) map[string]string {
	tb.Helper()
	paths, err := filepath.Glob("../../../internal/testkit/samples/*.json")
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no corpus: %v", err)
	}
	bodies := map[string]string{}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		bodies[filepath.Base(path)] = string(body)
	}
	return bodies
}

func TestHandler_corpus(t *testing.T) {
	t.Parallel()
	for name, body := range corpus(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustServe(t)
			// The words of a sample are private.
			d.forbid("Heizung im Bad kalt", "Seit gestern Abend", "mara@example.test", "+41790000001", "Sunrise Towers", "Hauptstrasse")
			_, id, _ := strings.Cut(body, `"id": "`)
			id, _, _ = strings.Cut(id, `"`)
			if name == "unexpected-event.json" {
				d.follow(t, step{signed(body), unexpected}, step{signed(body), unexpected})
				d.wantRows(t, rejected("event.name is unexpected", id, body))
				return
			}
			d.follow(t, step{signed(body), success}, step{signed(body), success})
			d.wantRows(t, pending(id, body))
		})
	}
}

// All samples are posted to one handler. None affects another, in whatever order they come.
func TestHandler_corpusTogether(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	bodies := corpus(t)
	for name, body := range bodies {
		want := success
		if name == "unexpected-event.json" {
			want = unexpected
		}
		d.follow(t, step{signed(body), want})
	}
	if pending := d.count(t, "SELECT count(*) FROM deliveries WHERE state = 1"); pending != len(bodies)-1 {
		t.Errorf("%d are pending, want %d", pending, len(bodies)-1)
	}
}

// Each harness checks its log at the end. This test shows that there is something to check, and what the log may contain.
func TestHandler_logsWhatIsRejectedOnce(t *testing.T) {
	t.Parallel()
	d := mustServe(t)
	d.follow(t,
		step{signed(bodyOf("e1")), success},
		step{signed(bodyOf("e2")).with(signatureHeader, sign("wrong", "")), unauthorized},
		step{signed(bodyOf("e3")).with(timestampHeader, "1"), unauthorized},
		step{signed(strings.Replace(bodyOf("e4"), "ticket.created", "ticket.deleted", 1)), unexpected},
		step{signed("{"), malformed},
		// A delivery with another body is logged once, however often it comes.
		step{signed(bodyOf("e5")), success}, step{signed(bodyOf("e5") + " "), success}, step{signed(bodyOf("e5") + " "), success},
		step{signed(bodyOf("e6")), success}, step{signed(bodyOf("e6")+" ").with(timestampHeader, "1"), unauthorized},
		step{signed(bodyOf("e6")+" ").with(timestampHeader, "1"), unauthorized})
	log := d.log.String()
	for text, want := range map[string]int{
		"event_id=e3 ": 1, `"event_id":"e3"`: 1, "event_id=e4 ": 1, `reason="event.name is unexpected" status=400`: 1,
		"event_id=e5 ": 1, "event_id=e6 ": 1, "status=401": 2, `event_id="" reason="body is not valid JSON" status=400`: 1,
		// Successful and unsigned deliveries cause no line: otherwise anybody could fill the log.
		"e1": 0, "e2": 0,
	} {
		if got := strings.Count(log, text); got != want {
			t.Errorf("%q is %d times in the log, want %d:\n%s", text, got, want, log)
		}
	}
}
