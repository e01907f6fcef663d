package postgres_test

import (
	"fmt"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/postgrestest"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// TestChangesOfTheNumbersOfTicketsAreFolded has two replicas record in turns, and for a while somebody who holds up folding, but nothing
// else.
func TestChangesOfTheNumbersOfTicketsAreFolded(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	var replicas [2]*postgres.Store
	for i := range replicas {
		replicas[i] = mustOpen(t, url)
		t.Cleanup(func() { _ = replicas[i].Close() })
	}
	conn := postgrestest.Connect(t, url)
	recorded := 0
	record := func(batches int) {
		t.Helper()
		for range batches {
			id := fmt.Sprint(recorded)
			if _, err := replicas[recorded%2].Record(t.Context(), []ticket.Change{change("e"+id, "t"+id)}); err != nil {
				t.Fatal(err)
			}
			recorded++
		}
		if got, err := replicas[0].Stats(t.Context(), ticket.Filter{}); err != nil || got.Total != int64(recorded) {
			t.Fatalf("%d tickets are counted, want %d: %v", got.Total, recorded, err)
		}
	}
	checkUnfolded := func(most int) {
		t.Helper()
		var unfolded, late, groups int
		if err := conn.QueryRow(t.Context(), "SELECT count(*), count(*) FILTER (WHERE c.sequence <= f.sequence), (SELECT count(*)"+
			" FROM ticketsvc.ticket_counts) FROM ticketsvc.ticket_counts_folded f LEFT JOIN ticketsvc.ticket_count_changes c ON true").
			Scan(&unfolded, &late, &groups); err != nil {
			t.Fatal(err)
		}
		if unfolded > most || late != 0 || groups != 1 {
			t.Errorf("%d changes are not folded, want %d at the most; %d of them are taken for folded; %d groups, want 1", unfolded, most, late, groups)
		}
	}
	record(3 * postgres.FoldEvery)
	checkUnfolded(2 * postgres.FoldEvery)

	for _, statement := range []string{"begin", postgres.LockFolding} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	record(3 * postgres.FoldEvery)
	if _, err := conn.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	record(2 * postgres.FoldEvery)
	checkUnfolded(2 * postgres.FoldEvery)
}
