package tickettest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

var orders = []ticket.Order{
	{Time: ticket.ByUpdateTime}, {Time: ticket.ByUpdateTime, Descending: true},
	{Time: ticket.ByCreateTime}, {Time: ticket.ByCreateTime, Descending: true},
}

// listAll returns the tickets of all pages.
func listAll(t *testing.T, store ticket.Store, filter ticket.Filter, order ticket.Order, pageSize int) []ticket.Ticket {
	t.Helper()
	var all []ticket.Ticket
	var after *ticket.Cursor
	for {
		page, more, err := store.List(t.Context(), filter, order, after, entries(pageSize))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if !more {
			return all
		}
		if len(page) == 0 {
			t.Fatal("an empty page says that others follow")
		}
		cursor := order.Cursor(&page[len(page)-1])
		after = &cursor
	}
}

// recordMixed records tickets with different values of the fields that filters and orders read, and returns the tickets. Half of them have
// one of three update times, and some have no create time, so that pages end between tickets with equal times. Each ticket had other values
// before.
func recordMixed(t *testing.T, store ticket.Store) (all []ticket.Ticket) {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	const tickets = 120
	var changes []ticket.Change
	for i := range 2 * tickets {
		c := ticket.Change{
			EventID: fmt.Sprintf("e%03d", i), Name: ticket.Updated, TicketID: fmt.Sprintf("t%x", i%tickets*7919%4096), OccurTime: At(0),
			Fields: Named("status_text", "app_id", "category_id", "assignee_id", "property_id", "create_time", "update_time",
				"last_status_update_time", "title"),
			Values: ticket.Ticket{
				StatusText: pick("", "closed", "waiting-for-agent", "something new"), AppID: pick("", "app1", "app2"),
				CategoryID: pick("", "c1", "c2"), AssigneeID: pick("", "", "u1", "u2"), PropertyID: pick("", "p1", "p2", "p\x00"),
				Title:      pick("", "Heizung kalt", "Heizung"),
				UpdateTime: At(int64(random.IntN(3))),
			},
		}
		if i%2 == 0 {
			c.Values.UpdateTime = ticket.Instant{Set: true, Seconds: At(0).Seconds, Nanos: int32(random.IntN(1e9))}
		}
		if i%5 == 0 {
			c.Values.LastStatusUpdateTime = At(int64(random.IntN(3)))
		}
		if i%3 != 0 {
			c.Values.CreateTime = At(int64(random.IntN(9)))
		}
		changes = append(changes, c)
	}
	mustRecord(t, store, changes[:tickets]...)
	mustRecord(t, store, changes[tickets:]...)
	for i := range tickets {
		all = append(all, merged(changes[i], changes[tickets+i]))
	}
	return all
}

// mixedFilters are filters for the tickets of [recordMixed].
var mixedFilters = map[string]ticket.Filter{
	"all":                 {},
	"one status":          {Statuses: []ticket.Status{ticket.StatusClosed}},
	"an unknown status":   {Statuses: []ticket.Status{ticket.StatusUnspecified, ticket.StatusWaitingForAgent}},
	"Apps":                {AppIDs: []string{"app1", "app2"}},
	"no App":              {AppIDs: []string{""}},
	"categories":          {CategoryIDs: []string{"c1", "nowhere"}},
	"properties":          {PropertyIDs: []string{"p1", "p\x00"}},
	"no property or one":  {PropertyIDs: []string{"", "p2"}},
	"a user":              {AssigneeID: "u1"},
	"nobody":              {Unassigned: true},
	"from a time":         {UpdatedAfter: At(1)},
	"before a time":       {UpdatedBefore: At(1)},
	"a range in a second": {UpdatedAfter: ticket.Instant{Set: true, Seconds: At(0).Seconds, Nanos: 5e8}, UpdatedBefore: At(1)},
	"an empty range":      {UpdatedAfter: At(1), UpdatedBefore: At(1)},
	"a word":              {Text: "kalt"},
	"everything at once": {Statuses: []ticket.Status{ticket.StatusClosed}, AppIDs: []string{"app1"}, CategoryIDs: []string{"c1", "c2"},
		PropertyIDs: []string{"p1", "p2"}, Unassigned: true, UpdatedAfter: At(0), Text: "heiz"},
	"nothing has this":         {AssigneeID: "nobody"},
	"as many values as can be": {PropertyIDs: slices.Repeat([]string{"p1"}, 100), AppIDs: slices.Repeat([]string{"app1"}, 100)},
}

// testLists compares lists with the result of the rules, for all filters and orders.
func testLists(t *testing.T, env Env) {
	store := mustOpen(t, env)
	all := recordMixed(t, store)
	for name, filter := range mixedFilters {
		for _, order := range orders {
			want := slices.DeleteFunc(slices.Clone(all), func(one ticket.Ticket) bool { return !filter.Matches(&one) })
			slices.SortFunc(want, func(a, b ticket.Ticket) int { return order.Compare(order.Cursor(&a), order.Cursor(&b)) })
			for _, pageSize := range []int{1, 7, 120, 1000} {
				if diff := cmp.Diff(want, listAll(t, store, filter, order, pageSize), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s, order %+v, pages of %d: %s", name, order, pageSize, diff)
				}
			}
		}
	}
}

// testPagesUnderWrites lists tickets while others change. Each ticket that does not change must be listed exactly once.
func testPagesUnderWrites(t *testing.T, env Env) {
	open := stores(t, env, 2)
	store := open[0]
	var changes []ticket.Change
	for i := range 200 {
		changes = append(changes, titled(fmt.Sprintf("e%d", i), fmt.Sprintf("t%03d", i), int64(i/20), ""))
	}
	mustRecord(t, store, changes...)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			c := titled(fmt.Sprintf("later%d", i), fmt.Sprintf("t%03d", i*2%200), int64(i%15), "")
			if _, err := open[1].Append(t.Context(), []ticket.Change{c}); err != nil {
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
	for _, order := range orders {
		times := map[string]int{}
		for _, one := range listAll(t, store, ticket.Filter{}, order, 9) {
			times[one.ID]++
		}
		for i := 1; i < 200; i += 2 {
			if id := fmt.Sprintf("t%03d", i); times[id] != 1 {
				t.Errorf("order %+v: %s, which did not change, came %d times", order, id, times[id])
			}
		}
	}
	close(stop)
	writer.Wait()
}

func testLargePages(t *testing.T, env Env) {
	store := mustOpen(t, env)
	const tickets = 7
	for i := range tickets {
		size := ticket.MaxPageBytes / 3
		if i == 3 {
			size = ticket.MaxPageBytes + 1
		}
		mustRecord(t, store, titled(fmt.Sprintf("e%d", i), fmt.Sprintf("t%d", i), int64(i), strings.Repeat("x", size)))
	}
	for _, order := range orders {
		if got := listAll(t, store, ticket.Filter{}, order, 1000); len(got) != tickets {
			t.Errorf("order %+v: %d tickets, want %d", order, len(got), tickets)
		}
	}
	page, more, err := store.List(t.Context(), ticket.Filter{}, ticket.Order{}, nil, entries(1000))
	if err != nil || !more || len(page) != 2 {
		t.Errorf("first page: %d tickets, more %v, %v; want the 2 that fit in", len(page), more, err)
	}
}

// testLongIDs has ids in filtered fields that are longer than the ids of any filter, and longer than an index allows.
func testLongIDs(t *testing.T, env Env) {
	store := mustOpen(t, env)
	random := rand.New(rand.NewPCG(7, 8))
	// The id can't be compressed. It has characters of two bytes, and all limits are between two characters.
	long := "x" + strings.Map(func(rune) rune { return rune(0x100 + random.IntN(0x600)) }, strings.Repeat(" ", 5000))
	sizes := []int{ticket.MaxIDBytes + 1, ticket.MaxIDBytes + 3, ticket.MaxIDBytes + 5, len(long)}
	for _, size := range sizes {
		id := fmt.Sprint(size)
		c := titled("e"+id, id, 1, "title")
		c.Fields = Named("title", "app_id", "category_id", "assignee_id", "property_id")
		value := strings.ToValidUTF8(long[:size], "")
		c.Values.AppID, c.Values.CategoryID, c.Values.AssigneeID, c.Values.PropertyID = value, value, value, value
		mustRecord(t, store, c)
		if diff := cmp.Diff(merged(c), mustGet(t, store, id)); diff != "" {
			t.Error(diff)
		}
	}
	for _, length := range []int{ticket.MaxIDBytes - 1, ticket.MaxIDBytes} {
		prefix := strings.ToValidUTF8(long[:length], "")
		for _, filter := range []ticket.Filter{{AppIDs: []string{prefix}}, {CategoryIDs: []string{prefix}}, {PropertyIDs: []string{prefix}},
			{AssigneeID: prefix}, {Unassigned: true}} {
			if got := listAll(t, store, filter, orders[0], 10); len(got) != 0 {
				t.Errorf("filter %+v lists %d tickets", filter, len(got))
			}
		}
	}
	if got := listAll(t, store, ticket.Filter{}, orders[0], 10); len(got) != len(sizes) {
		t.Errorf("%d tickets are listed, want %d", len(got), len(sizes))
	}
}
