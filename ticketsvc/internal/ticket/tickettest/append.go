package tickettest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func testDuplicates(t *testing.T, env Env) {
	store := mustOpen(t, env)
	first, second := titled("e1", "t1", 1, "first"), titled("e2", "t1", 2, "second")
	again := titled("e1", "t1", 9, "of the same event, so without effect")
	elsewhere := titled("e1", "t2", 9, "of the same event, so without effect")
	recorded, err := store.Append(t.Context(), []ticket.Change{first, again, second, elsewhere})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ticket.AppendResult{{}, {Duplicate: true}, {}, {Duplicate: true}}, recorded, ignoreLogEnd); diff != "" {
		t.Error(diff)
	}
	recorded, err = store.Append(t.Context(), []ticket.Change{second, again})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ticket.AppendResult{{Duplicate: true}, {Duplicate: true}}, recorded, ignoreLogEnd); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(merged(first, second), mustGet(t, store, "t1")); diff != "" {
		t.Error(diff)
	}
	if _, err := store.Get(t.Context(), "t2", nil); !errors.Is(err, ticket.ErrNotFound) {
		t.Errorf("the ticket of a duplicate alone: %v, want ErrNotFound", err)
	}
}

func testOrder(t *testing.T, env Env) {
	store := mustOpen(t, env)
	random := rand.New(rand.NewPCG(1, 2))
	var changes []ticket.Change
	for i := range 40 {
		c := titled(fmt.Sprintf("e%d", i), "", int64(random.IntN(5)), fmt.Sprintf("title %d", i))
		if i%3 == 0 {
			c.Fields = c.Fields.With(ticket.Field(i % 6))
			c.Values.Attributes = map[string]string{"sortHash": fmt.Sprint(i)}
		}
		varied(random, &c)
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
