package simulator_test

import (
	"bytes"
	"encoding/json"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSign_documentedExample(t *testing.T) {
	t.Parallel()
	// RFC 4231, test case 2.
	got := simulator.Sign("Jefe", []byte("what do ya want for nothing?"))
	if want := "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"; got != want {
		t.Errorf("Sign = %s, want %s", got, want)
	}
}

// envelope has the fields of the contract that the tests check.
type envelope struct {
	Event struct {
		ID          string
		Name        string
		CreatedDate time.Time
		URN         string
		Data        struct {
			ID     string
			Status string
			Delta  map[string]json.RawMessage
		}
	}
}

func mustParse(t *testing.T, event simulator.Event) envelope {
	t.Helper()
	var e envelope
	if err := json.Unmarshal(event.Body, &e); err != nil {
		t.Fatalf("%v in %s", err, event.Body)
	}
	return e
}

func TestGenerate_followsTheContract(t *testing.T) {
	t.Parallel()
	eventIDs, created := map[string]bool{}, map[string]bool{}
	var last time.Time
	equalTimes, forms := 0, map[string]int{}
	for event := range simulator.Generate(1, 5000, simulator.GenerateOptions{}) {
		e := mustParse(t, event).Event
		if e.ID != event.ID || e.Data.ID != event.TicketID || !strings.HasSuffix(e.URN, ":"+event.TicketID) {
			t.Fatalf("event has %s and %s, its body has %s", event.ID, event.TicketID, event.Body)
		}
		if eventIDs[e.ID] {
			t.Fatalf("event id %s comes twice", e.ID)
		}
		eventIDs[e.ID] = true
		if e.CreatedDate.Before(last) {
			t.Fatalf("%s is before the event that came before, %s", e.CreatedDate, last)
		}
		if e.CreatedDate.Equal(last) {
			equalTimes++
		}
		last = e.CreatedDate
		switch e.Name {
		case "ticket.created":
			if created[event.TicketID] {
				t.Fatalf("ticket %s is created twice", event.TicketID)
			}
			created[event.TicketID] = true
		case "ticket.updated":
			if !created[event.TicketID] {
				t.Fatalf("ticket %s is updated before it is created", event.TicketID)
			}
			for _, value := range e.Data.Delta {
				forms[formOf(value)]++
			}
		default:
			t.Fatalf("unexpected name %q", e.Name)
		}
	}
	if equalTimes == 0 {
		t.Error("no two events have the same time")
	}
	if perTicket := 5000 / len(created); perTicket < 3 || perTicket > 8 {
		t.Errorf("%d tickets for 5000 events: want several events a ticket", len(created))
	}
	for _, form := range []string{"plain", "null", "old/new", "from/to", "pair"} {
		if forms[form] == 0 {
			t.Errorf("no delta has the form %s: %v", form, forms)
		}
	}
}

func formOf(value json.RawMessage) string {
	switch text := string(value); {
	case text == "null":
		return "null"
	case strings.HasPrefix(text, `{"old"`):
		return "old/new"
	case strings.HasPrefix(text, `{"from"`):
		return "from/to"
	case strings.HasPrefix(text, `[`):
		return "pair"
	default:
		return "plain"
	}
}

func TestGenerate_bodySize(t *testing.T) {
	t.Parallel()
	sizes := func(events iter.Seq[simulator.Event]) map[string]float64 {
		sum, count := map[string]float64{}, map[string]float64{}
		for event := range events {
			name := mustParse(t, event).Event.Name
			sum[name] += float64(len(event.Body))
			count[name]++
		}
		for name := range sum {
			sum[name] /= count[name]
		}
		return sum
	}
	usual := sizes(simulator.Generate(2, 2000, simulator.GenerateOptions{}))
	even := sizes(simulator.Generate(2, 2000, simulator.GenerateOptions{EvenSize: true}))
	for what, got := range map[string]float64{
		"creates": usual["ticket.created"], "creates, even": even["ticket.created"], "updates, even": even["ticket.updated"],
	} {
		if math.Abs(got-1600) > 100 {
			t.Errorf("%s have %.0f bytes on average, want about 1600", what, got)
		}
	}
	if got := usual["ticket.updated"]; got > 600 {
		t.Errorf("updates have %.0f bytes on average, want fewer", got)
	}
}

func TestGenerate_seedDeterminesTheEvents(t *testing.T) {
	t.Parallel()
	traffic := func(seed uint64) []simulator.Event {
		events := simulator.Generate(seed, 300, simulator.GenerateOptions{})
		return slices.Collect(simulator.Duplicate(simulator.Shuffle(events, 0, seed), 0.1, seed))
	}
	if diff := cmp.Diff(traffic(7), traffic(7)); diff != "" {
		t.Error("same seed, other traffic:", diff)
	}
	ids := map[string]bool{}
	for _, event := range traffic(7) {
		ids[event.ID], ids[event.TicketID] = true, true
	}
	for _, event := range traffic(8) {
		if ids[event.ID] || ids[event.TicketID] {
			t.Fatalf("seeds 7 and 8 share event %s of ticket %s", event.ID, event.TicketID)
		}
	}
}

func TestShuffle_keepsEachEvent(t *testing.T) {
	t.Parallel()
	events := slices.Collect(simulator.Generate(3, 1000, simulator.GenerateOptions{}))
	for name, window := range map[string]int{"full": 0, "windowed": 50, "wider than all": 5000} {
		shuffled := slices.Collect(simulator.Shuffle(slices.Values(events), window, 3))
		if cmp.Equal(ids(events), ids(shuffled)) {
			t.Errorf("%s: the order did not change", name)
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(ids(events))), slices.Sorted(slices.Values(ids(shuffled)))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for i, event := range shuffled {
			if window > 0 && !slices.Contains(ids(events[:min(len(events), i+window+1)]), event.ID) {
				t.Errorf("%s: event %d comes more than the window too early", name, i)
			}
		}
	}
}

func TestDuplicate_comesAfterItsEvent(t *testing.T) {
	t.Parallel()
	const n = 4000
	seen := map[string]int{}
	duplicates := 0
	for event := range simulator.Duplicate(simulator.Generate(4, n, simulator.GenerateOptions{}), 0.25, 4) {
		if want := map[bool]int{false: 0, true: 1}[event.Duplicate]; seen[event.ID] != want {
			t.Fatalf("event %s, duplicate %v, was seen %d times before", event.ID, event.Duplicate, seen[event.ID])
		}
		seen[event.ID]++
		if event.Duplicate {
			duplicates++
		}
	}
	if len(seen) != n || duplicates < n/5 || duplicates > n*3/10 {
		t.Errorf("%d events and %d duplicates, want %d and about a quarter", len(seen), duplicates, n)
	}
}

func TestGenerate_sequencesCanEndEarly(t *testing.T) {
	t.Parallel()
	events := simulator.Generate(5, 100, simulator.GenerateOptions{})
	for range simulator.Duplicate(simulator.Shuffle(events, 10, 5), 1, 5) {
		break
	}
}

func TestReadFiles_leavesBytesUnchanged(t *testing.T) {
	t.Parallel()
	body := []byte("{\r\n \"event\": {} }\n\n")
	path := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := simulator.ReadFiles([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	if events[0].ID != path || !bytes.Equal(events[0].Body, body) {
		t.Errorf("got %s with %q", events[0].ID, events[0].Body)
	}
	if _, err := simulator.ReadFiles([]string{path + ".missing"}); err == nil {
		t.Error("a missing file gave no error")
	}
}

func ids(events []simulator.Event) []string {
	list := make([]string, 0, len(events))
	for _, event := range events {
		list = append(list, event.ID)
	}
	return list
}

func BenchmarkGenerate(b *testing.B) {
	b.ReportAllocs()
	for range simulator.Generate(1, b.N, simulator.GenerateOptions{EvenSize: true}) {
	}
}
