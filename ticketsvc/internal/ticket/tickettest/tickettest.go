// Package tickettest holds the suite that every [ticket.Store] must pass, and what other tests share with it.
package tickettest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// Open returns the store in a place that belongs to the test; called again, it opens the same place again.
type Open func(t *testing.T) ticket.Store

// TestStore runs the suite. newPlace is called once for each test, and returns how stores of that test are opened.
func TestStore(t *testing.T, newPlace func(t *testing.T) Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"an event is recorded once":               testOnce,
		"the order of events makes no difference": testOrder,
		"concurrent writers lose nothing":         testConcurrentWriters,
		"the log has no gaps":                     testLog,
		"events page and tell their outcome":      testEventPages,
		"lists follow filter and order":           testLists,
		"pages neither skip nor repeat":           testPagesUnderWrites,
		"pages end before they are too large":     testLargePages,
		"many tickets are read at one moment":     testBatchGet,
		"everything survives closing":             testReopen,
		"extreme values come back as they were":   testExtremes,
		"an ended context ends the call":          testEndedContext,
		"a closed store is unavailable":           testClosed,
		"an empty store has nothing":              testEmpty,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newPlace(t))
		})
	}
}

// mustOpen opens the store until the end of the test.
func mustOpen(t *testing.T, open Open) ticket.Store {
	t.Helper()
	store := open(t)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// mustRecord records changes, all of which must be new.
func mustRecord(t *testing.T, store ticket.Store, changes ...ticket.Change) {
	t.Helper()
	recorded, err := store.Record(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(make([]ticket.Recorded, len(changes)), recorded); diff != "" {
		t.Fatal(diff)
	}
}

func mustGet(t *testing.T, store ticket.Store, id string) ticket.Ticket {
	t.Helper()
	got, err := store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// titled is an update that names the title alone.
func titled(eventID, ticketID string, seconds int64, title string) ticket.Change {
	return ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, OccurTime: At(seconds), Named: Named("title"),
		Values: ticket.Ticket{Title: title}}
}

// merged returns the ticket that the rules make of changes.
func merged(changes ...ticket.Change) ticket.Ticket {
	record := ticket.NewRecord(changes[0].TicketID)
	for i := range changes {
		record.Apply(&changes[i])
	}
	return record.Ticket
}

func testOnce(t *testing.T, open Open) {
	store := mustOpen(t, open)
	first, second := titled("e1", "t1", 1, "first"), titled("e2", "t1", 2, "second")
	again := titled("e1", "t1", 9, "of the same event, so without effect")
	elsewhere := titled("e1", "t2", 9, "of the same event, so without effect")
	recorded, err := store.Record(t.Context(), []ticket.Change{first, again, second, elsewhere})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ticket.Recorded{{}, {Duplicate: true}, {}, {Duplicate: true}}, recorded); diff != "" {
		t.Error(diff)
	}
	recorded, err = store.Record(t.Context(), []ticket.Change{second, again})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ticket.Recorded{{Duplicate: true}, {Duplicate: true}}, recorded); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(merged(first, second), mustGet(t, store, "t1")); diff != "" {
		t.Error(diff)
	}
	if _, err := store.Get(t.Context(), "t2"); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("the ticket of a duplicate alone: %v, want ErrNotFound", err)
	}
}

func testOrder(t *testing.T, open Open) {
	store := mustOpen(t, open)
	random := rand.New(rand.NewPCG(1, 2))
	var changes []ticket.Change
	for i := range 40 {
		c := titled(fmt.Sprintf("e%d", i), "", int64(random.IntN(5)), fmt.Sprintf("title %d", i))
		if i%3 == 0 {
			c.Named = c.Named.With(ticket.Field(i % 6))
			c.Values.Attributes = map[string]string{"sortHash": fmt.Sprint(i)}
		}
		changes = append(changes, c)
	}
	var want ticket.Ticket
	for round := range 4 {
		id := fmt.Sprintf("t%d", round)
		shuffled := slices.Clone(changes)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for i := range shuffled {
			shuffled[i].TicketID, shuffled[i].EventID = id, id+shuffled[i].EventID
		}
		for batch := range slices.Chunk(shuffled, 1+random.IntN(12)) {
			mustRecord(t, store, batch...)
		}
		got := mustGet(t, store, id)
		got.ID = ""
		if round == 0 {
			want = got
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// testConcurrentWriters has every event recorded by two writers at once.
func testConcurrentWriters(t *testing.T, open Open) {
	store := mustOpen(t, open)
	const writers, each = 8, 20
	var running sync.WaitGroup
	var mu sync.Mutex
	effects := 0
	for writer := range writers {
		running.Go(func() {
			for i := range each {
				recorded, err := store.Record(t.Context(), []ticket.Change{
					titled(fmt.Sprintf("e%d-%d", writer/2, i), fmt.Sprintf("t%d", i%3), int64(i), fmt.Sprintf("%d-%d", writer/2, i))})
				if err != nil || recorded[0].Err != nil {
					t.Errorf("Record = %v, %v", recorded, err)
					return
				}
				if !recorded[0].Duplicate {
					mu.Lock()
					effects++
					mu.Unlock()
				}
			}
		})
	}
	running.Wait()
	if want := writers / 2 * each; effects != want {
		t.Errorf("%d events had an effect, want each of %d once", effects, want)
	}
	var revisions int64
	for i := range 3 {
		revisions += mustGet(t, store, fmt.Sprintf("t%d", i)).Revision
	}
	if revisions != writers/2*each {
		t.Errorf("the tickets count %d events, want %d", revisions, writers/2*each)
	}
}

func testReopen(t *testing.T, open Open) {
	before := open(t)
	mustRecord(t, before, titled("e1", "t1", 1, "kept"))
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	store := mustOpen(t, open)
	if got := mustGet(t, store, "t1"); got.Title != "kept" {
		t.Errorf("title %q", got.Title)
	}
	recorded, err := store.Record(t.Context(), []ticket.Change{titled("e1", "t1", 1, "kept"), titled("e2", "t1", 2, "new")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ticket.Recorded{{Duplicate: true}, {}}, recorded); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{1, 2}, sequences(allEvents(t, store, "t1", 10))); diff != "" {
		t.Error(diff)
	}
}

func testExtremes(t *testing.T, open Open) {
	store := mustOpen(t, open)
	large := strings.Repeat("é", 1<<19)
	first := ticket.Instant{Set: true, Seconds: -62135596800}
	last := ticket.Instant{Set: true, Seconds: 253402300799, Nanos: 999_999_999}
	changes := []ticket.Change{
		{EventID: "a\x00b", Name: ticket.Created, TicketID: "t\x00", OccurTime: first, Named: Named("title", "create_time", "update_time"),
			Values: ticket.Ticket{Title: "\x00", CreateTime: first, UpdateTime: first}},
		{EventID: "a", Name: ticket.Updated, TicketID: "t", OccurTime: last, ReceiveTime: last, Named: Named("description", "last_status_update_time"),
			Values: ticket.Ticket{Description: large, LastStatusUpdateTime: last, Attributes: map[string]string{"": "null", "\u202e\x00": large}}},
		{EventID: "\U0010ffff' --", Name: ticket.Updated, TicketID: "%t_\"", OccurTime: At(0), Named: Named("comment_count"),
			Values: ticket.Ticket{CommentCount: -1 << 31}},
		{EventID: strings.Repeat("é", 128), Name: ticket.Updated, TicketID: strings.Repeat("\U0001f976", 64), OccurTime: At(0)},
	}
	mustRecord(t, store, changes...)
	for _, c := range changes {
		if diff := cmp.Diff(merged(c), mustGet(t, store, c.TicketID)); diff != "" {
			t.Errorf("ticket %q: %s", c.TicketID, diff)
		}
		events := allEvents(t, store, c.TicketID, 10)
		if len(events) != 1 || events[0].EventID != c.EventID || events[0].OccurTime != c.OccurTime || events[0].ReceiveTime != c.ReceiveTime {
			t.Errorf("events of %q: %+v", c.TicketID, events)
		}
	}
	for _, order := range orders {
		if got := walk(t, store, ticket.Filter{}, order, 1); len(got) != len(changes) {
			t.Errorf("order %+v lists %d of %d tickets", order, len(got), len(changes))
		}
	}
}

func testBatchGet(t *testing.T, open Open) {
	store := mustOpen(t, open)
	var changes []ticket.Change
	ids := []string{"unknown"}
	const tickets = 200
	for i := range tickets {
		id := fmt.Sprintf("t%d", i)
		changes = append(changes, titled("e"+id, id, 1, id))
		ids = append(ids, id)
	}
	mustRecord(t, store, changes...)
	// A writer changes all tickets together, so any mixture of titles was never there.
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for round := int64(2); ; round++ {
			for i := range changes {
				changes[i] = titled(fmt.Sprintf("e%d-%d", round, i), changes[i].TicketID, round, "same")
			}
			if _, err := store.Record(t.Context(), changes); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 100 {
		got, err := store.BatchGet(t.Context(), ids)
		if err != nil {
			t.Error(err)
			break
		}
		revisions := map[int64]bool{}
		for _, one := range got {
			revisions[one.Revision] = true
		}
		if len(got) != tickets || len(revisions) != 1 {
			t.Errorf("%d tickets with revisions %v, want %d of one moment", len(got), revisions, tickets)
		}
	}
	close(stop)
	writer.Wait()
}

func testEndedContext(t *testing.T, open Open) {
	store := mustOpen(t, open)
	mustRecord(t, store, titled("e1", "t1", 1, "x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range callAll(ctx, store) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: %v, want context.Canceled", name, err)
		}
	}
	mustRecord(t, store, titled("never recorded", "t1", 1, "x"))
}

func testClosed(t *testing.T, open Open) {
	store := open(t)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range callAll(t.Context(), store) {
		if !errors.Is(err, ticket.ErrUnavailable) {
			t.Errorf("%s of a closed store: %v, want ErrUnavailable", name, err)
		}
	}
}

// callAll returns the error of each method.
func callAll(ctx context.Context, store ticket.Store) map[string]error {
	errs := map[string]error{"Ping": store.Ping(ctx)}
	_, errs["Record"] = store.Record(ctx, []ticket.Change{titled("never recorded", "t1", 1, "x")})
	_, errs["Get"] = store.Get(ctx, "t1")
	_, errs["BatchGet"] = store.BatchGet(ctx, []string{"t1"})
	_, _, errs["List"] = store.List(ctx, ticket.Filter{}, ticket.Order{}, nil, 10)
	_, _, errs["ListEvents"] = store.ListEvents(ctx, "t1", 0, 10)
	return errs
}

func testEmpty(t *testing.T, open Open) {
	store := mustOpen(t, open)
	if err := store.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
	if recorded, err := store.Record(t.Context(), nil); err != nil || len(recorded) != 0 {
		t.Errorf("Record of nothing = %v, %v", recorded, err)
	}
	if _, err := store.Get(t.Context(), "t1"); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("Get = %v, want ErrNotFound", err)
	}
	if _, _, err := store.ListEvents(t.Context(), "t1", 0, 10); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("ListEvents = %v, want ErrNotFound", err)
	}
	if got, err := store.BatchGet(t.Context(), []string{"t1"}); err != nil || len(got) != 0 {
		t.Errorf("BatchGet = %v, %v", got, err)
	}
	if got, more, err := store.List(t.Context(), ticket.Filter{}, ticket.Order{}, nil, 10); err != nil || more || len(got) != 0 {
		t.Errorf("List = %v, %v, %v", got, more, err)
	}
}
