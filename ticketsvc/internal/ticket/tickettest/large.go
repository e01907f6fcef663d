package tickettest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// TestLargeTickets appends batches of small events for tickets that take much memory together, and checks how much memory a batch
// allocates. It must not be called by a parallel test, because it measures the memory of the process.
func TestLargeTickets(t *testing.T, open Open) {
	store := open(t)
	defer func() { _ = store.Close() }()
	for name, test := range map[string]struct {
		values ticket.Ticket
		// memory is the minimum size of one of the tickets in memory.
		memory int
	}{
		"texts":                        {ticket.Ticket{Title: strings.Repeat("x", 8<<20)}, 8 << 20},
		"elements of a large ticket":   {ticket.Ticket{Tags: make([]string, 50_000)}, 50_000 * 256},
		"elements of a smaller ticket": {ticket.Ticket{Tags: make([]string, 30_000)}, 30_000 * 256},
	} {
		t.Run(name, func(t *testing.T) { testLargeTickets(t, store, name, test.values, test.memory) })
	}
}

func testLargeTickets(t *testing.T, store ticket.Store, prefix string, values ticket.Ticket, memory int) {
	const count = 12
	var all []ticket.Change
	for i := range count {
		// The ticket with the last id has the first event.
		id := fmt.Sprintf("%s %02d", prefix, count-i)
		mustRecord(t, store, ticket.Change{EventID: "large " + id, Name: ticket.Created, TicketID: id, OccurTime: At(1),
			Fields: Named("title", "tags"), Values: values})
		all = append(all, ticket.Change{EventID: "small " + id, Name: ticket.Updated, TicketID: id, OccurTime: At(2),
			Fields: Named("unit_name"), Values: ticket.Ticket{UnitName: "3. OG links"}})
	}
	erased := titled("of an erased ticket "+prefix, "erased "+prefix, 1, "")
	if _, err := store.Erase(t.Context(), erased.TicketID); err != nil {
		t.Fatal(err)
	}
	all = append(all, all[1], titled("of a new ticket "+prefix, "new "+prefix, 1, ""), erased)

	outcomes := map[string]ticket.AppendResult{}
	batches := 0
	for left := all; len(left) > 0; batches++ {
		allocated := totalAllocated()
		recorded, err := store.Append(t.Context(), left)
		if err != nil {
			t.Fatal(err)
		}
		if allocated = totalAllocated() - allocated; allocated > 8*ticket.MaxLoadedBytes {
			t.Errorf("a batch allocates %d MiB", allocated>>20)
		}
		if recorded[0].Deferred {
			t.Fatal("the first event of a batch is left for the next")
		}
		loaded := 0
		var deferred []ticket.Change
		for i, r := range recorded {
			if r.Deferred {
				deferred = append(deferred, left[i])
				continue
			}
			if i > 0 && strings.HasPrefix(left[i].EventID, "small") && !r.Duplicate {
				loaded += memory
			}
			r.LogEnd = ticket.LogPosition{}
			if former, ok := outcomes[left[i].EventID]; !ok {
				outcomes[left[i].EventID] = r
			} else if former != (ticket.AppendResult{}) || r != (ticket.AppendResult{Duplicate: true}) {
				t.Errorf("the event that is there twice: %+v, then %+v", former, r)
			}
		}
		if loaded > ticket.MaxLoadedBytes {
			t.Errorf("a batch loads %d bytes besides the ticket of its first event", loaded)
		}
		left = deferred
	}
	if usual := ticket.MaxLoadedBytes / memory; batches < count/(usual+1) || batches > count/usual+1 {
		t.Errorf("it takes %d batches, want that each has room for about %d tickets", batches, usual)
	}
	for _, c := range all {
		want := ticket.AppendResult{Erased: c.TicketID == erased.TicketID}
		if got := outcomes[c.EventID]; got != want {
			t.Errorf("%s: %+v, want %+v", c.EventID, got, want)
		}
	}
	for i := range count {
		got := mustGet(t, store, all[i].TicketID)
		if got.Revision != 2 || got.UnitName != "3. OG links" || got.Title != values.Title || len(got.Tags) != len(values.Tags) {
			t.Errorf("%s: revision %d, unit name %q, a title of %d bytes, %d tags", got.ID, got.Revision, got.UnitName, len(got.Title),
				len(got.Tags))
		}
	}
}

// totalAllocated returns the number of bytes that the process has allocated, including those that were freed.
func totalAllocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}
