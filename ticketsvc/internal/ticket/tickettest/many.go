//go:build unix

package tickettest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// The numbers of different values in the tickets of [RecordMany], whatever the number of tickets. Only the number of properties grows: each
// property has 200 tickets.
const (
	manyApps          = 5
	manyCategories    = 40
	manyUsers         = 500
	ticketsOfProperty = 200
)

// ManyTicket returns the creation of the ticket with this number. Of five tickets, four are closed. A quarter of the others are assigned to
// nobody.
func ManyTicket(number int) ticket.Change {
	// The stride has no factor in common with the numbers above, so it spreads the values over the tickets.
	spread := number * 7919
	opened := At(int64(number))
	c := ticket.Change{
		EventID: fmt.Sprintf("%08x-many-%012d", uint32(number)*2654435761, number), Name: ticket.Created, OccurTime: opened,
		TicketID: fmt.Sprintf("%08x1e2dffff%08x", 0x6a000000+number, number),
		Fields: Named("app_id", "title", "description", "status_text", "category_id", "assignee_id", "property_id", "create_time", "update_time",
			"last_status_update_time"),
		Values: ticket.Ticket{
			AppID:      fmt.Sprintf("82662ee4-0080-4960-8b8f-%012d", spread/7%manyApps),
			CategoryID: fmt.Sprintf("5d1f2c3b4a596877%08d", spread/3%manyCategories),
			Title:      "Heizung im Bad kalt", Description: "Seit gestern Abend bleibt der Heizkörper kalt. Bitte um Rückruf am Nachmittag.",
			StatusText: "closed", AssigneeID: fmt.Sprintf("user-%d", spread%manyUsers),
			PropertyID: fmt.Sprintf("property-%d", number/ticketsOfProperty),
			CreateTime: opened, UpdateTime: opened, LastStatusUpdateTime: opened,
		},
	}
	if number%5 == 0 {
		c.Values.StatusText = [...]string{"waiting-for-agent", "waiting-for-customer", "waiting-for-external"}[spread%3]
		if number%4 == 0 {
			c.Values.AssigneeID = ""
		}
	}
	return c
}

// RecordMany records the tickets of [ManyTicket] from first to end-1, in a store that has none of them.
func RecordMany(tb testing.TB, store ticket.Store, first, end int) {
	tb.Helper()
	const size = 256
	batch := make([]ticket.Change, 0, size)
	for number := first; number < end; {
		for batch = batch[:0]; len(batch) < size && number < end; number++ {
			batch = append(batch, ManyTicket(number))
		}
		recorded, err := store.Append(tb.Context(), batch)
		if err != nil {
			tb.Fatal(err)
		}
		for i := range recorded {
			if recorded[i] != (ticket.AppendResult{LogEnd: recorded[i].LogEnd}) {
				tb.Fatalf("event %s: %+v", batch[i].EventID, recorded[i])
			}
		}
	}
}

// BenchmarkStats measures how much longer stats take with a million tickets than with ten thousand, as the ratio of medians. Each iteration
// reads both, so set the number of iterations, as in -benchtime 101x. To load the tickets takes a few minutes. With -short there are a
// hundredth of the tickets, and the ratio has no meaning. open is called for each size. It returns a new store, which it closes at the end
// of the benchmark, and a function to call after the store is loaded.
func BenchmarkStats(b *testing.B, open func(b *testing.B) (store ticket.Store, loaded func())) {
	few, many := 10_000, 1_000_000
	if testing.Short() {
		few, many = few/100, many/100
	}
	load := func(tickets int) ticket.Store {
		store, loaded := open(b)
		RecordMany(b, store, 0, tickets)
		loaded()
		return store
	}
	small, large := load(few), load(many)
	app, category := ManyTicket(0).Values.AppID, ManyTicket(0).Values.CategoryID
	open3 := []ticket.Status{ticket.StatusWaitingForAgent, ticket.StatusWaitingForCustomer, ticket.StatusWaitingForExternal}
	for _, test := range []struct {
		name   string
		filter ticket.Filter
	}{
		{"all", ticket.Filter{}},
		{"statuses", ticket.Filter{Statuses: open3}},
		{"app_ids", ticket.Filter{AppIDs: []string{app}}},
		{"category_ids", ticket.Filter{CategoryIDs: []string{category}}},
		{"unassigned", ticket.Filter{Unassigned: true}},
		{"together", ticket.Filter{Statuses: open3, AppIDs: []string{app}, CategoryIDs: []string{category}, Unassigned: true}},
		{"property_ids", ticket.Filter{PropertyIDs: []string{"property-0"}}},
		{"a range of 1,000", ticket.Filter{UpdatedBefore: At(1000)}},
		// This user has more tickets in the larger store.
		{"assignee_id", ticket.Filter{AssigneeID: "user-1"}},
	} {
		b.Run(test.name, func(b *testing.B) {
			read := func(store ticket.Store) float64 {
				begin := time.Now()
				if _, err := store.Stats(b.Context(), test.filter); err != nil {
					b.Fatal(err)
				}
				return float64(time.Since(begin).Nanoseconds()) / 1000
			}
			read(small)
			read(large)
			var fewTimes, manyTimes []float64
			for b.Loop() {
				fewTimes, manyTimes = append(fewTimes, read(small)), append(manyTimes, read(large))
			}
			fewMedian, manyMedian := middle(fewTimes), middle(manyTimes)
			b.ReportMetric(manyMedian/fewMedian, "many/few")
			b.ReportMetric(fewMedian, "few-µs")
			b.ReportMetric(manyMedian, "many-µs")
			b.ReportMetric(0, "ns/op") // which would be of both together
		})
	}
}

// middle returns the median. If there are two middle values, it returns the lower one. It sorts the values.
func middle(values []float64) float64 {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
