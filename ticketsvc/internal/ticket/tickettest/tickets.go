package tickettest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func testReopen(t *testing.T, env Env) {
	before := env.Open(t)
	mustRecord(t, before, titled("e1", "t1", 1, "kept"))
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	store := mustOpen(t, env)
	if got := mustGet(t, store, "t1"); got.Title != "kept" {
		t.Errorf("title %q", got.Title)
	}
	recorded, err := store.Append(t.Context(), []ticket.Change{titled("e1", "t1", 1, "kept"), titled("e2", "t1", 2, "new")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ticket.AppendResult{{Duplicate: true}, {}}, recorded, ignoreLogEnd); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{1, 2}, sequences(allEvents(t, store, "t1", 10))); diff != "" {
		t.Error(diff)
	}
}

func testExtremes(t *testing.T, env Env) {
	store := mustOpen(t, env)
	large := strings.Repeat("é", 1<<19)
	first := ticket.Instant{Set: true, Seconds: -62135596800}
	last := ticket.Instant{Set: true, Seconds: 253402300799, Nanos: 999_999_999}
	changes := []ticket.Change{
		{EventID: "a\x00b", Name: ticket.Created, TicketID: "t\x00", OccurTime: first, Fields: Named("title", "create_time", "update_time"),
			Values: ticket.Ticket{Title: "\x00", CreateTime: first, UpdateTime: first}},
		{EventID: "a", Name: ticket.Updated, TicketID: "t", OccurTime: last, ReceiveTime: last,
			Fields: Named("description", "last_status_update_time"),
			Values: ticket.Ticket{Description: large, LastStatusUpdateTime: last, Attributes: map[string]string{"": "null", "\u202e\x00": large}}},
		{EventID: "\U0010ffff' --", Name: ticket.Updated, TicketID: "%t_\"", OccurTime: At(0), Fields: Named("comment_count"),
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
		if got := listAll(t, store, ticket.Filter{}, order, 1); len(got) != len(changes) {
			t.Errorf("order %+v lists %d of %d tickets", order, len(got), len(changes))
		}
	}
}

func testBatchGet(t *testing.T, env Env) {
	open := stores(t, env, 2)
	store := open[0]
	var changes []ticket.Change
	ids := []string{"unknown"}
	const tickets = 200
	for i := range tickets {
		id := fmt.Sprintf("t%d", i)
		changes = append(changes, titled("e"+id, id, 1, id))
		ids = append(ids, id)
	}
	mustRecord(t, store, changes...)
	// A writer changes all tickets in one transaction, so no mixture of titles has ever existed.
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for round := int64(2); ; round++ {
			for i := range changes {
				changes[i] = titled(fmt.Sprintf("e%d-%d", round, i), changes[i].TicketID, round, "same")
			}
			if _, err := open[1].Append(t.Context(), changes); err != nil {
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
		got, err := store.BatchGet(t.Context(), ids, 1<<20, nil)
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

	// Half of the tickets are too large together. One ticket is not.
	const most = 1000
	if got, err := store.BatchGet(t.Context(), ids[:tickets/2], most, nil); !errors.Is(err, ticket.ErrTooLargeTogether) ||
		errors.Is(err, ticket.ErrUnavailable) {
		t.Errorf("BatchGet of more than %d bytes = %d tickets, %v", most, len(got), err)
	}
	if got, err := store.BatchGet(t.Context(), ids[:2], most, nil); err != nil || len(got) != 1 {
		t.Errorf("BatchGet of less than %d bytes = %v, %v", most, got, err)
	}
}

func testEmpty(t *testing.T, env Env) {
	store := mustOpen(t, env)
	if err := store.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
	if recorded, err := store.Append(t.Context(), nil); err != nil || len(recorded) != 0 {
		t.Errorf("Append of nothing = %v, %v", recorded, err)
	}
	if _, err := store.Get(t.Context(), "t1", nil); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("Get = %v, want ErrNotFound", err)
	}
	if _, _, err := store.ListEvents(t.Context(), "t1", 0, entries(10)); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("ListEvents = %v, want ErrNotFound", err)
	}
	if got, err := store.BatchGet(t.Context(), []string{"t1"}, 1<<20, nil); err != nil || len(got) != 0 {
		t.Errorf("BatchGet = %v, %v", got, err)
	}
	if got, more, err := store.List(t.Context(), ticket.Filter{}, ticket.Order{}, nil, entries(10)); err != nil || more || len(got) != 0 {
		t.Errorf("List = %v, %v, %v", got, more, err)
	}
	if got := mustStats(t, store, ticket.Filter{}); !cmp.Equal(got, ticket.Stats{}) {
		t.Errorf("Stats = %+v", got)
	}
	if got, err := store.ReadLog(t.Context(), 0, entries(10)); err != nil || len(got) != 0 {
		t.Errorf("ReadLog = %v, %v", got, err)
	}
}
