package rpc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// engines open stores of each engine, all with the same database.
var engines = map[string]func(t *testing.T) []ticket.Store{
	"SQLite": func(t *testing.T) []ticket.Store { return []ticket.Store{mustOpenStore(t)} },
	"PostgreSQL, two replicas": func(t *testing.T) []ticket.Store {
		url := postgresql.Database(t)
		return []ticket.Store{mustOpenPostgres(t, url), mustOpenPostgres(t, url)}
	},
}

func mustOpenPostgres(t *testing.T, url string) ticket.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

const (
	readerCount     = 4
	changingTickets = 120 // The same number of tickets never change.
	writerCount     = 2
	runs            = 300
)

// kept is the expected state of a ticket.
type kept struct {
	record *ticket.State
	// begun is the number of changes that were started, and done the number of those that are recorded.
	begun, done int
}

// keeper makes changes, and knows the tickets that are not being changed.
type keeper struct {
	mu      sync.Mutex
	tickets map[string]*kept
}

// draw returns a change of all fields that filters and orders read. There are few values of each field, and few times. So pages end between
// tickets of equal times, and a ticket often starts or stops matching a filter.
func draw(random *rand.Rand, id string, number int) ticket.Change {
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	change := ticket.Change{
		EventID: fmt.Sprintf("%s-%d", id, number), Name: ticket.Updated, TicketID: id, OccurTime: tickettest.At(int64(number)),
		Fields: tickettest.Named("status_text", "app_id", "category_id", "assignee_id", "property_id", "create_time", "update_time",
			"title"),
		Values: ticket.Ticket{
			StatusText: pick("", "closed", "waiting-for-agent", "waiting-for-customer"), AppID: pick("a1", "a2"), CategoryID: pick("c1", "c2", "c3"),
			AssigneeID: pick("", "u1", "u2"), PropertyID: pick("", "p1", "p2"), UpdateTime: tickettest.At(random.Int64N(8)),
			Title: pick("", "Lift steht", "Tür am Lift klemmt", "Tür"),
		},
	}
	if random.IntN(4) > 0 {
		change.Values.CreateTime = tickettest.At(random.Int64N(8))
	}
	return change
}

// write records one change of each of some tickets, which nobody else changes at the time.
func (k *keeper) write(ctx context.Context, store ticket.Store, random *rand.Rand, ids []string) error {
	changes := make([]ticket.Change, len(ids))
	k.mu.Lock()
	for i, id := range ids {
		one := k.tickets[id]
		changes[i] = draw(random, id, one.begun)
		one.begun++
	}
	k.mu.Unlock()
	recorded, err := store.Append(ctx, changes)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, id := range ids {
		if recorded[i] != (ticket.AppendResult{LogEnd: recorded[i].LogEnd}) {
			return fmt.Errorf("ticket %s: %+v", id, recorded[i])
		}
		k.tickets[id].record.Apply(&changes[i])
		k.tickets[id].done++
	}
	return nil
}

// quiet returns the number of changes of each ticket that nobody is changing.
func (k *keeper) quiet() map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	changes := map[string]int{}
	for id, one := range k.tickets {
		if one.begun == one.done {
			changes[id] = one.done
		}
	}
	return changes
}

// still returns the tickets of quiet that nobody has begun to change since.
func (k *keeper) still(quiet map[string]int) map[string]ticket.Ticket {
	k.mu.Lock()
	defer k.mu.Unlock()
	tickets := map[string]ticket.Ticket{}
	for id, changes := range quiet {
		if one := k.tickets[id]; one.begun == changes {
			tickets[id] = one.record.Ticket
		}
	}
	return tickets
}

// query is a random list, as a request and as the types of package ticket.
type query struct {
	request ticketv1.ListTicketsRequest
	filter  ticket.Filter
	order   ticket.Order
}

func drawQuery(random *rand.Rand) *query {
	q := &query{}
	sometimes := func() bool { return random.IntN(4) == 0 }
	f := &ticketv1.TicketFilter{}
	if sometimes() {
		q.filter.Statuses = []ticket.Status{ticket.StatusClosed, ticket.Status(random.IntN(3))}
		for _, status := range q.filter.Statuses {
			f.Statuses = append(f.Statuses, ticketv1.TicketStatus(status))
		}
	}
	if sometimes() {
		f.AppIds = []string{"a1"}
	}
	if sometimes() {
		f.CategoryIds = []string{"c3", "c1", "nowhere"}
	}
	if sometimes() {
		f.PropertyIds = [][]string{{"p1"}, {"", "p2"}, {"p2", "p1"}}[random.IntN(3)]
	}
	if sometimes() {
		f.AssigneeId = "u1"
	} else if sometimes() {
		f.Unassigned = true
	}
	if sometimes() {
		q.filter.UpdatedAfter = tickettest.At(random.Int64N(4))
		f.UpdatedAfter = at(q.filter.UpdatedAfter.Seconds - tickettest.At(0).Seconds)
	}
	if sometimes() {
		q.filter.UpdatedBefore = tickettest.At(4 + random.Int64N(4))
		f.UpdatedBefore = at(q.filter.UpdatedBefore.Seconds - tickettest.At(0).Seconds)
	}
	q.filter.AppIDs, q.filter.CategoryIDs, q.filter.PropertyIDs = f.AppIds, f.CategoryIds, f.PropertyIds
	if sometimes() {
		f.Text = []string{"lift", "LIFT tur", "steh"}[random.IntN(3)]
	}
	q.filter.AssigneeID, q.filter.Unassigned, q.filter.Text = f.AssigneeId, f.Unassigned, f.Text
	orders := []string{"", "update_time", "update_time desc", "create_time", "create_time desc"}
	q.request.OrderBy = orders[random.IntN(len(orders))]
	q.order, _ = ticket.ParseOrder(q.request.OrderBy)
	q.request.Filter, q.request.PageSize = f, 8+random.Int32N(60)
	if random.IntN(200) == 0 {
		q.request.PageSize = 1
	}
	return q
}

// listed is the part of a ticket in a list that is compared.
type listed struct {
	id       string
	revision int64
}

// want returns the tickets that the query lists, in its order.
func (q *query) want(tickets map[string]ticket.Ticket) []listed {
	var matching []ticket.Ticket
	for _, one := range tickets {
		if q.filter.Matches(&one) {
			matching = append(matching, one)
		}
	}
	slices.SortFunc(matching, func(a, b ticket.Ticket) int { return q.order.Compare(q.order.Cursor(&a), q.order.Cursor(&b)) })
	all := make([]listed, len(matching))
	for i, one := range matching {
		all[i] = listed{one.ID, one.Revision}
	}
	return all
}

// TestListTickets_pagesDuringWrites checks the pages of a list. A ticket that does not change while somebody reads the pages must be
// on exactly one of them, in its position, even if other tickets change, and whichever replica responds.
func TestListTickets_pagesDuringWrites(t *testing.T) {
	t.Parallel()
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			stores := open(t)
			k := &keeper{tickets: map[string]*kept{}}
			var ids []string
			for i := range 2 * changingTickets {
				id := fmt.Sprintf("t%x", i*7919%4096) // The order of the ids is not that of creation.
				ids = append(ids, id)
				k.tickets[id] = &kept{record: ticket.NewState(id)}
			}
			if err := k.write(t.Context(), stores[0], rand.New(rand.NewPCG(1, 2)), ids); err != nil {
				t.Fatal(err)
			}

			writing, stop := context.WithCancel(t.Context())
			var writers, readers sync.WaitGroup
			for number := range writerCount {
				own := ids[number*changingTickets/writerCount : (number+1)*changingTickets/writerCount]
				random := rand.New(rand.NewPCG(3, uint64(number)))
				writers.Go(func() {
					for writing.Err() == nil {
						random.Shuffle(len(own), func(i, j int) { own[i], own[j] = own[j], own[i] })
						if err := k.write(t.Context(), stores[number%len(stores)], random, own[:1+random.IntN(4)]); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			var clients []client
			for _, store := range stores {
				clients = append(clients, newClient(t, mustServe(t, store), "gRPC"))
			}
			var mu sync.Mutex
			pages, seen, moved := 0, 0, 0
			for number := range readerCount {
				random := rand.New(rand.NewPCG(4, uint64(number)))
				readers.Go(func() {
					for range runs / readerCount {
						q := drawQuery(random)
						quiet := k.quiet()
						var all []listed
						count := 0
						for more := true; more; count++ {
							if count > 10*len(ids) { // Each ticket can have one of nine times.
								t.Errorf("%v: after %d pages there are still others", &q.request, count)
								return
							}
							page, err := clients[random.IntN(len(clients))].ListTickets(t.Context(), &q.request)
							if err != nil {
								t.Error(err)
								return
							}
							for _, one := range page.GetTickets() {
								all = append(all, listed{one.GetTicketId(), one.GetRevision()})
							}
							q.request.PageToken = page.GetNextPageToken()
							more = q.request.PageToken != ""
						}
						still := k.still(quiet)
						got := slices.DeleteFunc(all, func(one listed) bool { _, ok := still[one.id]; return !ok })
						want := q.want(still)
						if diff := cmp.Diff(want, got, cmp.AllowUnexported(listed{}), cmpopts.EquateEmpty()); diff != "" {
							t.Errorf("%v: %s", &q.request, diff)
						}
						mu.Lock()
						pages, seen, moved = pages+count, seen+len(want), moved+len(ids)-len(still)
						mu.Unlock()
					}
				})
			}
			readers.Wait()
			stop()
			writers.Wait()
			t.Logf("%d runs over %d pages: %d tickets that did not change came once each; %.0f others changed during a run, on average",
				runs, pages, seen, float64(moved)/float64(runs))
			if pages < 3*runs || moved < runs {
				t.Errorf("the runs had %d pages, during which tickets changed %d times: too little to find anything", pages, moved)
			}
		})
	}
}
