package postgres_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/postgres"
)

// fillLog adds 50,000 events of as many tickets, and 1000 of one.
const fillLog = `INSERT INTO ticketsvc.tickets (ticket_id, status, app_id, category_id, assigned_to, property_id, create_time, update_time,
 stamps, content) SELECT 't' || n, 1, '', '', '', 'p' || n % 10, '', '', '', '' FROM generate_series(1, 50000) n;
INSERT INTO ticketsvc.events (sequence, event_id, ticket_id, name, full_snapshot, occur_time, receive_time, content, payload)
 SELECT n, 'e' || n, 't' || CASE WHEN n > 50000 THEN 1 ELSE n END, 'ticket.updated', false, '', '', '', '' FROM generate_series(1, 51000) n`

// fillErasures adds 1,000 erasures after them.
const fillErasures = `INSERT INTO ticketsvc.events (sequence, ticket_id, name, full_snapshot, occur_time, receive_time, content, payload)
 SELECT n, 'erased' || n, 'ticket.erased', false, '', '', '', '' FROM generate_series(51001, 52000) n`

var actualRows = regexp.MustCompile(`actual time=[0-9.]+ rows=([0-9]+) loops=([0-9]+)`)

// TestStore_feedReadsNotAllOfTheLog checks the plans that PostgreSQL makes without knowing the arguments, as it does for statements
// that it has often executed.
func TestStore_feedReadsNotAllOfTheLog(t *testing.T) {
	t.Parallel()
	for name, analyse := range map[string]string{"never looked at": "SELECT 1", "looked at": "ANALYZE"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgresql.Database(t)
			if err := mustOpen(t, url).Close(); err != nil {
				t.Fatal(err)
			}
			conn := postgresql.Connect(t, url)
			for _, statement := range []string{"ALTER TABLE ticketsvc.tickets SET (autovacuum_enabled = off)",
				"ALTER TABLE ticketsvc.events SET (autovacuum_enabled = off)", fillLog, fillErasures, analyse,
				"SET plan_cache_mode = force_generic_plan"} {
				if _, err := conn.Exec(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			for name, s := range map[string]struct {
				statement string
				arguments []any
				most      int
			}{
				"LastPosition":            {postgres.LastPosition, nil, 1},
				"PositionAt":              {postgres.PositionAt, []any{25000}, 1},
				"PositionsAt":             {postgres.PositionsAt, []any{[]int64{1, 25000, 49999}}, 3},
				"ReadLog":                 {postgres.ReadLog(64), []any{25000, 1 << 20}, 64},
				"TicketBefore, measuring": {postgres.MeasureBefore, []any{"t1", 50500, 1001}, 501},
				"TicketBefore":            {postgres.ReadBefore, []any{"t1", 50500}, 501},
				"ListErasures":            {postgres.ReadErasures, []any{51900, 101}, 101},
				"ReadSnapshot":            {postgres.SnapshotBound, []any{"t25", postgres.SnapshotStride}, postgres.SnapshotStride},
			} {
				if name == "ReadSnapshot" && analyse != "ANALYZE" {
					continue // The plan reads and sorts all ids, once for each part. This does harm only if there are many.
				}
				plan, most := explain(t, conn, s.statement, s.arguments)
				if strings.Contains(plan, "Seq Scan") || most == 0 || most > s.most {
					t.Errorf("%s reads up to %d rows for %d:\n%s", name, most, s.most, plan)
				}
			}
		})
	}
}

// explain executes a statement. It returns the plan, and the maximum number of rows of a step.
func explain(t *testing.T, conn *pgx.Conn, statement string, arguments []any) (plan string, most int) {
	t.Helper()
	// The statement is sent with arguments, so that their types are known as in the service.
	rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE) "+statement, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", statement, err))
	}
	plan = strings.Join(lines, "\n")
	for _, match := range actualRows.FindAllStringSubmatch(plan, -1) {
		rows, _ := strconv.Atoi(match[1])
		loops, _ := strconv.Atoi(match[2])
		most = max(most, rows*loops)
	}
	return plan, most
}
