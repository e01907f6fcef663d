package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// TestRollUpCounts has two replicas that record in turns. For a while another session prevents the roll-up, but nothing else.
func TestRollUpCounts(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	var replicas [2]*postgres.Store
	for i := range replicas {
		replicas[i] = mustOpen(t, url)
		t.Cleanup(func() { _ = replicas[i].Close() })
	}
	conn := postgresql.Connect(t, url)
	recorded := 0
	record := func(batches int) {
		t.Helper()
		for range batches {
			id := fmt.Sprint(recorded)
			if _, err := replicas[recorded%2].Append(t.Context(), []ticket.Change{change("e"+id, "t"+id)}); err != nil {
				t.Fatal(err)
			}
			recorded++
		}
		if got, err := replicas[0].Stats(t.Context(), ticket.Filter{}); err != nil || got.Total != int64(recorded) {
			t.Fatalf("%d tickets are counted, want %d: %v", got.Total, recorded, err)
		}
	}
	checkPending := func(most int) {
		t.Helper()
		var pending, late, groups int
		if err := conn.QueryRow(t.Context(), "SELECT count(*), count(*) FILTER (WHERE c.sequence <= f.sequence), (SELECT count(*)"+
			" FROM ticketsvc.ticket_counts) FROM ticketsvc.ticket_counts_folded f LEFT JOIN ticketsvc.ticket_count_changes c ON true").
			Scan(&pending, &late, &groups); err != nil {
			t.Fatal(err)
		}
		if pending > most || late != 0 || groups != 1 {
			t.Errorf("%d changes are pending, want at most %d; %d of them are taken for moved; %d groups, want 1", pending, most,
				late, groups)
		}
	}
	record(3 * postgres.RollUpEvery)
	checkPending(2 * postgres.RollUpEvery)

	for _, statement := range []string{"begin", postgres.LockRollUp} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	record(200)
	if _, err := conn.Exec(t.Context(), "rollback"); err != nil {
		t.Fatal(err)
	}
	// There are more changes than are rolled up at a time.
	record(4 * postgres.RollUpEvery)
	checkPending(2 * postgres.RollUpEvery)
}

// TestStore_Stats_groupsUseTheIndex fails if PostgreSQL would read all tickets, or all tickets of a group, to find the one that has waited
// longest.
func TestStore_Stats_groupsUseTheIndex(t *testing.T) {
	t.Parallel()
	for name, analyze := range map[string]string{"looked at": "ANALYZE", "never looked at": "SELECT"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgresql.Database(t)
			if err := mustOpen(t, url).Close(); err != nil {
				t.Fatal(err)
			}
			conn := postgresql.Connect(t, url)
			for _, statement := range []string{
				"ALTER TABLE ticketsvc.tickets SET (autovacuum_enabled = off)",
				"INSERT INTO ticketsvc.tickets (ticket_id, status, app_id, category_id, assigned_to, property_id, create_time, update_time," +
					" waiting_since, stamps, content) SELECT n, n % 4, 'app' || n % 3, 'category' || n % 5, CASE n % 2 WHEN 0 THEN 'user' ELSE '' END," +
					" '', n, n, n, '', '' FROM generate_series(1, 50000) n",
				"INSERT INTO ticketsvc.ticket_counts (app_id, category_id, status, unassigned, tickets)" +
					" SELECT app_id, category_id, status, assigned_to = '', count(*) FROM ticketsvc.tickets GROUP BY 1, 2, 3, 4",
				analyze, "SET plan_cache_mode = force_custom_plan", "SET jit = off",
			} {
				if _, err := conn.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			rows, err := conn.Query(t.Context(), "EXPLAIN "+postgres.GroupStats)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			plan := strings.Join(lines, "\n")
			for _, want := range []string{"using tickets_by_wait on tickets t", "Index Cond: ((app_id = c.app_id) AND" +
				" (category_id = c.category_id) AND (status = c.status) AND ((assigned_to = ''::text) = c.unassigned))"} {
				if !strings.Contains(plan, want) {
					t.Errorf("the plan is\n%s\nwant %s", plan, want)
				}
			}
			if _, lookup, _ := strings.Cut(plan, "SubPlan"); strings.Contains(plan, "Seq Scan on tickets") || strings.Contains(lookup, "Sort") {
				t.Errorf("the plan is\n%s\nwant it to read and sort nothing but what waits longest", plan)
			}
		})
	}
}
