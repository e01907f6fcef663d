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

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// counted returns the stats of tickets for a filter. It checks each ticket.
func counted(tickets []ticket.Ticket, filter ticket.Filter) (stats ticket.Stats) {
	var waiting []ticket.Ticket
	for _, one := range tickets {
		if !filter.Matches(&one) {
			continue
		}
		if stats.Total++; stats.Total == 1 {
			stats.ByStatus = map[ticket.Status]int64{}
		}
		stats.ByStatus[one.Status]++
		if one.Status != ticket.StatusClosed {
			waiting = append(waiting, one)
			if one.AssigneeID == "" {
				stats.Unassigned++
			}
		}
	}
	if len(waiting) > 0 {
		longest := slices.MinFunc(waiting, func(a, b ticket.Ticket) int {
			return cmp.Or(a.WaitingSince().Compare(b.WaitingSince()), cmp.Compare(a.ID, b.ID))
		})
		stats.LongestWaiting = &ticket.Waiting{TicketID: longest.ID, Since: longest.WaitingSince()}
	}
	return stats
}

func mustStats(t *testing.T, store ticket.Store, filter ticket.Filter) ticket.Stats {
	t.Helper()
	stats, err := store.Stats(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

// wantCounted checks that the store's stats for each filter are those that counting its tickets gives.
func wantCounted(t *testing.T, store ticket.Store, filters map[string]ticket.Filter) {
	t.Helper()
	all := listAll(t, store, ticket.Filter{}, ticket.Order{}, 1000)
	for name, filter := range filters {
		if diff := gocmp.Diff(counted(all, filter), mustStats(t, store, filter)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// testStats compares stats with counting, for filters of each kind and some combinations.
func testStats(t *testing.T, env Env) {
	store := mustOpen(t, env)
	all := recordMixed(t, store)
	for name, filter := range mixedFilters {
		if diff := gocmp.Diff(counted(all, filter), mustStats(t, store, filter)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for i, one := range all {
		if i%3 == 0 {
			mustErase(t, store, one.ID)
		}
	}
	wantCounted(t, store, mixedFilters)
}

// testStatsOfLongIDs has ids that are longer than those of any filter, and begin with the same bytes.
func testStatsOfLongIDs(t *testing.T, env Env) {
	store := mustOpen(t, env)
	for i, long := range []string{strings.Repeat("é", 2000), strings.Repeat("é", 2001), strings.Repeat("x", ticket.MaxIDBytes+1)} {
		c := titled(fmt.Sprintf("e%d", i), fmt.Sprintf("t%d", i), int64(i), "")
		c.Fields = Named("app_id", "category_id")
		c.Values = ticket.Ticket{AppID: long, CategoryID: long}
		mustRecord(t, store, c)
		prefix := strings.ToValidUTF8(long[:ticket.MaxIDBytes], "")
		for _, filter := range []ticket.Filter{{AppIDs: []string{prefix}}, {CategoryIDs: []string{prefix}}} {
			if got := mustStats(t, store, filter); got.Total != 0 {
				t.Errorf("%d tickets have the beginning of a long id, want 0", got.Total)
			}
		}
	}
	wantCounted(t, store, map[string]ticket.Filter{"all": {}})
	mustErase(t, store, "t0")
	wantCounted(t, store, map[string]ticket.Filter{"all": {}})
}

// moved is an event that moves a ticket to a random one of a few groups.
func moved(random *rand.Rand, eventID, ticketID string) ticket.Change {
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	c := ticket.Change{EventID: eventID, Name: ticket.Updated, TicketID: ticketID, OccurTime: At(random.Int64N(50)),
		Values: ticket.Ticket{
			StatusText: pick("", "closed", "waiting-for-agent", "waiting-for-external"), AppID: pick("", "app1", "a\x00"),
			CategoryID: pick("c1", "c2"), AssigneeID: pick("", "u1"), LastStatusUpdateTime: At(random.Int64N(9)), CreateTime: At(random.Int64N(9)),
		}}
	for _, name := range []string{"status_text", "app_id", "category_id", "assignee_id", "last_status_update_time", "create_time"} {
		if random.IntN(2) == 0 {
			c.Fields |= Named(name)
		}
	}
	c.Values = c.Values.Only(c.Fields)
	return c
}

// groupFilters select groups.
var groupFilters = map[string]ticket.Filter{
	"all":                {},
	"one status":         {Statuses: []ticket.Status{ticket.StatusWaitingForAgent}},
	"closed":             {Statuses: []ticket.Status{ticket.StatusClosed}},
	"Apps":               {AppIDs: []string{"", "a\x00"}},
	"a category":         {CategoryIDs: []string{"c2"}},
	"nobody":             {Unassigned: true},
	"several conditions": {AppIDs: []string{"app1"}, CategoryIDs: []string{"c1"}, Unassigned: true},
}

// testStatsNeverDrift appends batches with repeated tickets and duplicate events, cancels some calls, and erases known and unknown tickets.
func testStatsNeverDrift(t *testing.T, env Env) {
	store := env.Open(t)
	random := rand.New(rand.NewPCG(9, 10))
	const rounds, tickets = 150, 60
	for round := range rounds {
		var batch []ticket.Change
		for range 1 + random.IntN(12) {
			// Some events were recorded before, and some are in the batch twice.
			batch = append(batch, moved(random, fmt.Sprintf("e%d", random.IntN(round*8+8)), fmt.Sprintf("t%d", random.IntN(tickets))))
		}
		ctx := t.Context()
		if round%3 == 0 {
			ctx = newCountdown(1 + random.IntN(60))
		}
		if _, err := store.Append(ctx, batch); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if round%10 == 0 {
			mustErase(t, store, fmt.Sprintf("t%d", random.IntN(2*tickets)))
		}
		if round%15 == 0 {
			wantCounted(t, store, groupFilters)
		}
		if round%40 == 0 {
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			store = env.Open(t)
		}
	}
	wantCounted(t, store, groupFilters)
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// testStatsAmongWriters has writers that append events of the same tickets, one that erases some of these, and a reader.
func testStatsAmongWriters(t *testing.T, env Env) {
	const writers, rounds, tickets = 6, 80, 40
	open := stores(t, env, 3)
	var running sync.WaitGroup
	for writer := range writers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(11, uint64(writer/2)))
			for round := range rounds {
				var batch []ticket.Change
				for i := range 1 + random.IntN(8) {
					batch = append(batch, moved(random, fmt.Sprintf("e%d-%d-%d", writer/2, round, i), fmt.Sprintf("t%d", random.IntN(tickets))))
				}
				if _, err := open[writer%2].Append(t.Context(), batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Go(func() {
		for i := range tickets / 3 {
			if _, err := open[2].Erase(t.Context(), fmt.Sprintf("t%d", i)); err != nil {
				t.Error(err)
			}
			stats, err := open[2].Stats(t.Context(), ticket.Filter{})
			if err != nil || stats.Total > tickets {
				t.Errorf("%d tickets among writers, %v; there are at most %d", stats.Total, err, tickets)
			}
			for status, count := range stats.ByStatus {
				if count <= 0 {
					t.Errorf("%d tickets in status %d", count, status)
				}
			}
		}
	})
	running.Wait()
	wantCounted(t, open[0], groupFilters)
}

// testStatsOfOneMoment reads while a writer changes all tickets in one transaction.
func testStatsOfOneMoment(t *testing.T, env Env) {
	open := stores(t, env, 2)
	const tickets = 100
	words := []string{"waiting-for-agent", "closed", "waiting-for-customer"}
	batch := func(round int64) []ticket.Change {
		changes := make([]ticket.Change, tickets)
		for i := range changes {
			id := fmt.Sprintf("t%03d", i)
			changes[i] = ticket.Change{EventID: fmt.Sprintf("e%d-%d", round, i), Name: ticket.Updated, TicketID: id, OccurTime: At(round),
				Fields: Named("status_text", "last_status_update_time", "category_id"),
				Values: ticket.Ticket{StatusText: words[round%3], LastStatusUpdateTime: At(round), CategoryID: fmt.Sprint(i % 4)}}
		}
		return changes
	}
	mustRecord(t, open[0], batch(0)...)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for round := int64(1); ; round++ {
			if _, err := open[1].Append(t.Context(), batch(round)); err != nil {
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
		for _, filter := range []ticket.Filter{{}, {UpdatedAfter: At(0)}} {
			got := mustStats(t, open[0], filter)
			if got.Total != tickets || len(got.ByStatus) != 1 {
				t.Errorf("%d tickets by status %v, want all %d in one", got.Total, got.ByStatus, tickets)
			}
			if waiting := got.LongestWaiting; waiting != nil {
				want := ticket.ParseStatus(words[(waiting.Since.Seconds-At(0).Seconds)%3])
				if got.ByStatus[want] != tickets || waiting.TicketID != "t000" {
					t.Errorf("longest waits %+v, and by status there are %v", waiting, got.ByStatus)
				}
			} else if got.ByStatus[ticket.StatusClosed] != tickets {
				t.Errorf("none waits, and by status there are %v", got.ByStatus)
			}
		}
	}
	close(stop)
	writer.Wait()
}
