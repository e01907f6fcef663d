package tickettest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func mustReadEntries(t *testing.T, store ticket.Store, after int64, limit ticket.PageLimit) []ticket.Entry {
	t.Helper()
	read, err := store.ReadLog(t.Context(), after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// testEntries reads the log after tickets have changed and been erased.
func testEntries(t *testing.T, env Env) {
	store := mustOpen(t, env)
	first, second := titled("e1", "t\x00", 1, "old"), titled("e2", "t\x00", 2, "new")
	first.Values.Attributes = map[string]string{"read": "true"}
	gone := titled("e3", "gone", 3, "personal")
	mustRecord(t, store, first, second, gone, titled("e4", "other", 4, "other"))
	mustErase(t, store, "gone")
	entries := mustReadEntries(t, store, 0, entries(10))
	now := merged(first, second)
	want := []ticket.Entry{
		{Event: ticket.Event{EventID: "e1", Outcome: ticket.OutcomePartlySuperseded}, Ticket: &now},
		{Event: ticket.Event{EventID: "e2", Outcome: ticket.OutcomeCurrent}, Ticket: &now},
		{Event: ticket.Event{EventID: "e3", Outcome: ticket.OutcomeErased}},
		{Event: ticket.Event{EventID: "e4", Outcome: ticket.OutcomeCurrent}, Ticket: &ticket.Ticket{ID: "other", Title: "other",
			UpdateTime: At(4), Revision: 1}},
		{Event: ticket.Event{Name: ticket.Erased, TicketID: "gone", Outcome: ticket.OutcomeErased}},
	}
	events := append(allEvents(t, store, "t\x00", 10), allEvents(t, store, "gone", 10)...)
	events = append(events, allEvents(t, store, "other", 10)...)
	events = append(events, ticket.Event{Sequence: 5, Name: ticket.Erased, TicketID: "gone", Outcome: ticket.OutcomeErased})
	for i := range want {
		if want[i].Event.Outcome != events[i].Outcome {
			t.Errorf("event %d has outcome %d, want %d", i+1, events[i].Outcome, want[i].Event.Outcome)
		}
		want[i].Event = events[i]
	}
	if diff := gocmp.Diff(want, entries, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(ticket.Entry{}, "Weight", "Position")); diff != "" {
		t.Error(diff)
	}
	if entries[0].Ticket != entries[1].Ticket || entries[0].Weight.Bytes == 0 || entries[1].Weight.Bytes == 0 {
		t.Error("entries of one ticket do not share it, or have no size")
	}
}

// testLargeEntries has tickets of which few fit into a page, and one that is larger than a page.
func testLargeEntries(t *testing.T, env Env) {
	store := mustOpen(t, env)
	const tickets, size = 7, 10_000
	for i := range tickets {
		length := size
		if i == 3 {
			length = 5 * size
		}
		mustRecord(t, store, titled(fmt.Sprintf("e%d", i), fmt.Sprintf("t%d", i), int64(i), strings.Repeat("x", length)))
		// A second event of the same ticket does not count the ticket again.
		mustRecord(t, store, ticket.Change{EventID: fmt.Sprintf("again%d", i), Name: ticket.Updated, TicketID: fmt.Sprintf("t%d", i),
			OccurTime: At(0)})
	}
	var sizes []int
	for after := int64(0); ; {
		page := mustReadEntries(t, store, after, ticket.PageLimit{Items: 100, Bytes: 5 * size / 2})
		if len(page) == 0 {
			break
		}
		sizes = append(sizes, len(page))
		for _, e := range page {
			if after++; e.Event.Sequence != after || e.Ticket == nil || len(e.Ticket.Title) < size || e.Weight.Bytes < size {
				t.Fatalf("the entry at %d is %d with %d bytes", after, e.Event.Sequence, e.Weight.Bytes)
			}
		}
	}
	if diff := gocmp.Diff([]int{4, 2, 1, 1, 4, 2}, sizes); diff != "" {
		t.Error(diff)
	}
	var ids []string
	sizes = nil
	for after := ""; ; {
		page, err := store.ReadSnapshot(t.Context(), ticket.Filter{}, after, ticket.PageLimit{Items: 100, Bytes: 5 * size / 2})
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page.Tickets))
		for _, one := range page.Tickets {
			ids = append(ids, one.ID)
		}
		if after = page.Last; after == "" {
			break
		}
	}
	if diff := gocmp.Diff([]int{2, 1, 1, 2, 1}, sizes); diff != "" || len(ids) != tickets {
		t.Errorf("%d tickets: %s", len(ids), diff)
	}
}

func testPositions(t *testing.T, env Env) {
	store := mustOpen(t, env)
	if position, err := store.LastPosition(t.Context()); err != nil || position != (ticket.LogPosition{}) {
		t.Errorf("the last position of an empty log is %v, %v", position, err)
	}
	mustRecord(t, store, titled("e1\x00", "t\x01", 1, "x"))
	mustErase(t, store, "t\x01")
	mustRecord(t, store, titled("e2", "other", 1, "x"))
	want := []ticket.LogPosition{{}}
	for _, e := range mustReadEntries(t, store, 0, entries(10)) {
		want = append(want, e.Position)
	}
	if len(want) != 4 || want[1].Fingerprint == want[2].Fingerprint {
		t.Fatalf("the positions are %v", want)
	}
	for sequence, position := range want {
		if got, err := store.PositionAt(t.Context(), int64(sequence)); err != nil || got != position || got.Sequence != int64(sequence) {
			t.Errorf("PositionAt(%d) = %v, %v; want %v", sequence, got, err, position)
		}
	}
	if got, err := store.LastPosition(t.Context()); err != nil || got != want[3] {
		t.Errorf("LastPosition = %v, %v; want %v", got, err, want[3])
	}
	positions, err := store.PositionsAt(t.Context(), []int64{3, 1, 1 << 62, 4, 3})
	if diff := gocmp.Diff(map[int64]ticket.LogPosition{1: want[1], 3: want[3]}, positions); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, sequence := range []int64{4, 1 << 62} {
		if got, err := store.PositionAt(t.Context(), sequence); !errors.Is(err, ticket.ErrPositionNotFound) {
			t.Errorf("PositionAt(%d) = %v, %v; want ErrPositionNotFound", sequence, got, err)
		}
	}
}

func testLogEnd(t *testing.T, env Env) {
	store := mustOpen(t, env)
	record := func(changes ...ticket.Change) []ticket.AppendResult {
		recorded, err := store.Append(t.Context(), changes)
		if err != nil {
			t.Fatal(err)
		}
		last, err := store.LastPosition(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recorded {
			if r.LogEnd != last {
				t.Errorf("%+v, want the last position of the log %v", r, last)
			}
		}
		return recorded
	}
	first, second := titled("e1\x00", "t\x01", 1, "x"), titled("e2", "other", 1, "x")
	if record(first, second, first)[0].LogEnd.Sequence != 2 {
		t.Error("a batch of two events does not end at the second position")
	}
	if got := record(first); !got[0].Duplicate || got[0].LogEnd.Sequence != 2 {
		t.Errorf("a duplicate alone: %+v", got)
	}
	mustErase(t, store, "t\x01")
	if got := record(titled("e3", "t\x01", 2, "x")); !got[0].Erased || got[0].LogEnd.Sequence != 3 {
		t.Errorf("an event of an erased ticket: %+v", got)
	}
}

func testDatabaseID(t *testing.T, env Env, other Env) {
	store := env.Open(t)
	id := store.DatabaseID()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if again := mustOpen(t, env).DatabaseID(); again != id || id == (ticket.DatabaseID{}) {
		t.Errorf("the id is %x and then %x", id, again)
	}
	if mustOpen(t, other).DatabaseID() == id {
		t.Error("two databases have the same id")
	}
}

// testSnapshot compares snapshots with the result of the rules. There are more tickets than a part of a snapshot reads.
func testSnapshot(t *testing.T, env Env) {
	store := mustOpen(t, env)
	random := rand.New(rand.NewPCG(5, 6))
	var all []ticket.Ticket
	var changes []ticket.Change
	ids := []string{"\x00", "\x01", "\x01\x00", "z", "é", "🥶", "Z", " "}
	for i := range 5000 {
		ids = append(ids, fmt.Sprintf("%x", i*2654435761%(1<<32)))
	}
	for i, id := range ids {
		c := ticket.Change{EventID: "e" + id, Name: ticket.Updated, TicketID: id, OccurTime: At(int64(i)),
			Fields: Named("status_text", "property_id", "assignee_id", "title"),
			Values: ticket.Ticket{StatusText: "waiting-for-agent", Title: "Heizung"}}
		if random.IntN(2000) == 0 || i < 8 {
			c.Values = ticket.Ticket{StatusText: "closed", PropertyID: "p", AssigneeID: "u", Title: "Heizkörper kalt"}
		}
		changes = append(changes, c)
		all = append(all, merged(c))
	}
	for chunk := range slices.Chunk(changes, 1000) {
		mustRecord(t, store, chunk...)
	}
	mustErase(t, store, ids[9])
	all = slices.Delete(all, 9, 10)
	slices.SortFunc(all, func(a, b ticket.Ticket) int { return cmp.Compare(a.ID, b.ID) })
	for name, filter := range map[string]ticket.Filter{
		"all":      {},
		"most":     {Statuses: []ticket.Status{ticket.StatusWaitingForAgent}},
		"few":      {Statuses: []ticket.Status{ticket.StatusClosed}},
		"property": {PropertyIDs: []string{"p"}},
		"user":     {AssigneeID: "u"},
		"none":     {AppIDs: []string{"nowhere"}},

		"words of all":             {Text: "heiz"},
		"words of few":             {Text: "kalt heizko"},
		"words of few with a user": {Text: "heiz", AssigneeID: "u"},
		"words of none":            {Text: "heizung kalt"},
	} {
		want := slices.DeleteFunc(slices.Clone(all), func(one ticket.Ticket) bool { return !filter.Matches(&one) })
		for _, items := range []int{7, 1000} {
			var got []ticket.Ticket
			parts := 0
			for after := ""; ; parts++ {
				page, err := store.ReadSnapshot(t.Context(), filter, after, entries(items))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, page.Tickets...)
				if len(page.Tickets) > items || page.Last != "" && page.Last <= after {
					t.Fatalf("%s: a part of %d tickets after %q, up to %q", name, len(page.Tickets), after, page.Last)
				}
				if after = page.Last; after == "" {
					break
				}
			}
			if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, by %d: %s", name, items, diff)
			}
			// A part reads a bounded number of tickets, and does not end at each match.
			if parts == 0 || parts > 10+len(want)/items {
				t.Errorf("%s, by %d: %d parts for %d tickets", name, items, parts, len(want))
			}
		}
	}
}

// testTicketBefore reads the tickets as they were before each of their events.
func testTicketBefore(t *testing.T, env Env) {
	store := mustOpen(t, env)
	random := rand.New(rand.NewPCG(7, 8))
	changes := map[string][]ticket.Change{}
	positions := map[string][]int64{}
	ids := []string{"a", "b\x00", "c"}
	for i := range 60 {
		c := titled(fmt.Sprintf("e%d", i), ids[random.IntN(3)], int64(random.IntN(10)), fmt.Sprint(i))
		switch random.IntN(4) {
		case 0:
			c.Fields, c.Values = Named("label_ids", "status_text"), ticket.Ticket{LabelIDs: []string{"x", ""}, StatusText: "closed"}
		case 1:
			c.Values.Attributes = map[string]string{"read": "true", "title": `"\ud800"`}
		case 2:
			c.Name = ticket.Created
		}
		varied(random, &c)
		mustRecord(t, store, c)
		changes[c.TicketID] = append(changes[c.TicketID], c)
		positions[c.TicketID] = append(positions[c.TicketID], int64(i+1))
	}
	for _, id := range ids {
		for n, sequence := range positions[id] {
			got, err := store.TicketBefore(t.Context(), id, sequence, entries(n))
			if n == 0 {
				if !errors.Is(err, ticket.ErrNotFound) {
					t.Errorf("before its first event a ticket is %+v, %v", got, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(merged(changes[id][:n]...), got); diff != "" {
				t.Errorf("%q before its event %d: %s", id, n, diff)
			}
			_, err = store.TicketBefore(t.Context(), id, sequence, entries(n-1))
			if !errors.Is(err, ticket.ErrTooManyEvents) || errors.Is(err, ticket.ErrUnavailable) {
				t.Errorf("%d events where %d are allowed: %v, want ErrTooManyEvents alone", n, n-1, err)
			}
		}
	}
	mustErase(t, store, "a")
	if got, err := store.TicketBefore(t.Context(), "a", 61, entries(100)); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("an erased ticket was %+v, %v", got, err)
	}
	if got, err := store.TicketBefore(t.Context(), "unknown", 61, entries(100)); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("an unknown ticket was %+v, %v", got, err)
	}
}

// testTicketBeforeLargeEvents has few events, which are large.
func testTicketBeforeLargeEvents(t *testing.T, env Env) {
	store := mustOpen(t, env)
	const size = 100_000
	limit := ticket.PageLimit{Items: 10, Bytes: 5 * size / 2}
	for i := range 4 {
		mustRecord(t, store, titled(fmt.Sprint("e", i), "t", int64(i), strings.Repeat("x", size)+fmt.Sprint(i)))
	}
	if got, err := store.TicketBefore(t.Context(), "t", 3, limit); err != nil || !strings.HasSuffix(got.Title, "x1") {
		t.Errorf("before its third event the ticket has a title of %d bytes, %v", len(got.Title), err)
	}
	_, err := store.TicketBefore(t.Context(), "t", 4, limit)
	if !errors.Is(err, ticket.ErrTooManyEvents) || errors.Is(err, ticket.ErrUnavailable) {
		t.Errorf("events that are too large: %v, want ErrTooManyEvents alone", err)
	}
}

// testSubscribe checks that each commit of one of the stores is followed by a notification of every store.
func testSubscribe(t *testing.T, env Env) {
	open := stores(t, env, 2)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	var woken []chan struct{}
	for _, store := range open {
		wakes := make(chan struct{}, 1)
		woken = append(woken, wakes)
		watching.Go(func() {
			store.Subscribe(ctx, func() {
				select {
				case wakes <- struct{}{}:
				default:
				}
			}, func(err error) { t.Error(err) })
		})
	}
	defer watching.Wait()
	defer cancel()
	wait := func(what string) {
		t.Helper()
		for i := range woken {
			select {
			case <-woken[i]:
			case <-t.Context().Done():
				t.Fatalf("%s: store %d does not hear of it", what, i)
			}
		}
	}
	// There are no notifications of events that were recorded before Subscribe. So events are recorded until all subscribers are notified.
	for i := 0; len(woken[0]) == 0 || len(woken[1]) == 0; i++ {
		mustRecord(t, open[0], titled(fmt.Sprintf("begin%d", i), "t", 1, "x"))
	}
	wait("beginning")
	for i := range 3 {
		for w := range woken {
			for len(woken[w]) > 0 {
				<-woken[w]
			}
		}
		mustRecord(t, open[i%2], titled(fmt.Sprintf("e%d", i), "t", 1, "x"))
		wait("recording")
	}
	mustErase(t, open[1], "t")
	wait("erasing")
}

// CheckNonces checks that the same event has different positions in two databases, which must be empty.
func CheckNonces(t *testing.T, databases [2]ticket.Store) {
	t.Helper()
	var positions [2]ticket.LogPosition
	for i, store := range databases {
		mustRecord(t, store, titled("e", "t", 1, "x"))
		mustErase(t, store, "t")
		log := mustReadEntries(t, store, 0, entries(10))
		if len(log) != 2 || log[0].Position.Fingerprint == log[1].Position.Fingerprint {
			t.Fatalf("the log is %+v", log)
		}
		positions[i] = log[0].Position
		if i == 1 && positions[0].Fingerprint == positions[1].Fingerprint {
			t.Error("an event has the same position in two databases")
		}
	}
}
