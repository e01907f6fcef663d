package tickettest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// CorruptID is the id of the ticket of [OldStates] that can't be read. The caller corrupts its content.
const CorruptID = "t0007"

// OldStates returns tickets for a database of an older version. There are more than are upgraded at a time.
func OldStates() []*ticket.State {
	random := rand.New(rand.NewPCG(13, 14))
	states := make([]*ticket.State, 2500)
	for i := range states {
		id := fmt.Sprintf("t%04d", i)
		c := moved(random, "e"+id, id)
		if id == CorruptID {
			c.Fields, c.Values = Named("create_time"), ticket.Ticket{CreateTime: At(-1)}
		}
		states[i] = ticket.NewState(id)
		states[i].Apply(&c)
	}
	return states
}

// CheckUpgraded checks the store's stats of these tickets, changes and erases some of them, and checks again.
func CheckUpgraded(t *testing.T, store ticket.Store, states []*ticket.State) {
	t.Helper()
	tickets := map[string]ticket.Ticket{}
	for _, r := range states {
		tickets[r.Ticket.ID] = r.Ticket
	}
	check := func() {
		t.Helper()
		all := make([]ticket.Ticket, 0, len(tickets))
		for _, one := range tickets {
			all = append(all, one)
		}
		for name, filter := range groupFilters {
			if diff := cmp.Diff(counted(all, filter), mustStats(t, store, filter)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	check()
	if store.ReceiptKey() == (ticket.ReceiptKey{}) {
		t.Error("it has no key for erasures")
	}
	for range 20 {
		longest := mustStats(t, store, ticket.Filter{}).LongestWaiting
		if longest == nil {
			t.Fatal("no ticket waits")
		}
		mustErase(t, store, longest.TicketID)
		delete(tickets, longest.TicketID)
	}
	check()
	random := rand.New(rand.NewPCG(15, 16))
	for i := 100; i < 200; i++ {
		state := states[i]
		if _, kept := tickets[state.Ticket.ID]; kept {
			c := moved(random, fmt.Sprintf("later%d", i), state.Ticket.ID)
			mustRecord(t, store, c)
			state.Apply(&c)
			tickets[state.Ticket.ID] = state.Ticket
		}
	}
	check()
}
