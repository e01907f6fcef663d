package sqlite_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// TestStore_Append_costOfACommonWord changes titles among few tickets and among many that all have the same words. To remove a word
// from one ticket must not read all tickets with the word, as FTS5's secure-delete does.
func TestStore_Append_costOfACommonWord(t *testing.T) {
	// Not parallel, because it compares times.
	events := 0
	retitle := func(store ticket.Store, first, tickets int, title string) time.Duration {
		t.Helper()
		changes := make([]ticket.Change, tickets)
		for i := range changes {
			events++
			changes[i] = ticket.Change{EventID: fmt.Sprint("e", events), Name: ticket.Updated, TicketID: fmt.Sprint("t", first+i),
				OccurTime: tickettest.At(int64(events)), Fields: tickettest.Named("title"), Values: ticket.Ticket{Title: title}}
		}
		begin := time.Now()
		for batch := range slices.Chunk(changes, 250) {
			if _, err := store.Append(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(begin)
	}
	const changed, few, many = 250, 1000, 12_000
	stores := map[int]ticket.Store{}
	for _, tickets := range []int{few, many} {
		stores[tickets] = mustOpen(t, filepath.Join(t.TempDir(), "tickets.db"))
		t.Cleanup(func() { _ = stores[tickets].Close() })
		retitle(stores[tickets], 0, tickets, "Heizung im Bad kalt")
	}
	var ratios []float64
	for round := range 7 {
		title := []string{"Heizung im Bad warm", "Heizung im Bad kalt"}[round%2]
		among := retitle(stores[few], few-changed, changed, title)
		ratios = append(ratios, float64(retitle(stores[many], many-changed, changed, title))/float64(among))
	}
	slices.Sort(ratios)
	if middle := ratios[len(ratios)/2]; middle > 2 {
		t.Errorf("with %d instead of %d tickets it takes %.1f times as long; rounds: %.1f", many, few, middle, ratios)
	} else {
		t.Logf("rounds: %.1f", ratios)
	}
}
