package postgres_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox/inboxtest"
	"github.com/ticketbridge/ticketbridge/gateway/internal/postgres"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// fill adds 50,000 deliveries in a state, each due one nanosecond after the previous one.
const fill = `WITH made AS (
  INSERT INTO gateway.deliveries
    (id, key, state, receive_time, next_attempt_time, due_time, attempts, event_id, event_name, ticket_id, body_hash)
  SELECT nextval('gateway.delivery_ids'), convert_to('e' || $1::int || ' ' || n, 'UTF8'), $1::int, n, n, n, n % 2, 'e', 'n', 't', ''
  FROM generate_series(1, 50000) n RETURNING id
) INSERT INTO gateway.payloads SELECT id, 'body', '', '', '', '' FROM made`

var actualRows = regexp.MustCompile(`actual time=[0-9.]+ rows=([0-9]+) `)

func TestStatements_noneReadsAllDeliveries(t *testing.T) {
	t.Parallel()
	const pending, finished = 1, 2
	const limit = 100
	ids, keys, zeros := make([]int64, limit), make([][]byte, limit), make([]int64, limit)
	texts := make([]string, limit)
	for i := range ids {
		ids[i], keys[i] = int64(i), fmt.Append(nil, "e1 ", i)
	}
	now := inboxtest.Epoch.UnixNano()
	statements := map[string]struct {
		statement string
		arguments []any
		byIndex   bool
	}{
		"claim":   {postgres.Claim, []any{now, limit, now + int64(time.Minute), 1, 1 << 20, 0, 0}, true},
		"forward": {postgres.Forward, []any{ids, zeros, now}, true},
		"finish":  {postgres.Finish, []any{ids, zeros, zeros, texts, zeros, zeros, ids}, true},
		"nextDue": {postgres.NextDue, []any{0, 0}, false},
		"replay":  {postgres.Replay, []any{0, 10_000_000, 100, 5 * limit, limit, now, 1, "again"}, true},
		"find":    {postgres.FindExisting, []any{keys}, false},
		"lock":    {postgres.LockExisting, []any{keys}, false},
	}
	for name, steps := range map[string][]any{
		"never looked at":                     {finished, pending},
		"looked at when nothing was pending":  {finished, "ANALYZE", pending},
		"looked at when everything was there": {finished, pending, "ANALYZE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgresql.Database(t)
			if err := mustOpen(t, url).Close(); err != nil {
				t.Fatal(err)
			}
			conn := postgresql.Connect(t, url)
			if _, err := conn.Exec(t.Context(), "ALTER TABLE gateway.deliveries SET (autovacuum_enabled = off)"); err != nil {
				t.Fatal(err)
			}
			for _, step := range steps {
				statement, arguments := fill, []any{step}
				if command, isCommand := step.(string); isCommand {
					statement, arguments = command, nil
				}
				if _, err := conn.Exec(t.Context(), statement, arguments...); err != nil {
					t.Fatal(err)
				}
			}
			for name, s := range statements {
				plan := explain(t, conn, s.byIndex, s.statement, s.arguments)
				most := 0
				for _, match := range actualRows.FindAllStringSubmatch(plan, -1) {
					rows, _ := strconv.Atoi(match[1])
					most = max(most, rows)
				}
				// Some rows may be dead versions of others.
				if strings.Contains(plan, "Seq Scan") || most == 0 || most > 10*limit {
					t.Errorf("%s reads up to %d rows for %d:\n%s", name, most, limit, plan)
				}
			}
		})
	}
}

// explain executes a statement and returns its plan.
func explain(t *testing.T, conn *pgx.Conn, byIndex bool, statement string, arguments []any) string {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if byIndex {
		if _, err := tx.Exec(t.Context(), postgres.ByIndex); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(t.Context(), "SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
		t.Fatal(err)
	}
	rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, BUFFERS) "+statement, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

var blocksRead = regexp.MustCompile(`Buffers: shared hit=([0-9]+)`)

func TestStore_Claim_skipsDeadIndexEntries(t *testing.T) {
	t.Parallel()
	const rounds, perRound = 60, 250
	url := postgresql.Database(t)
	store := mustOpen(t, url)
	// Without a vacuum every entry of the index stays.
	postgresql.Execute(t, url, "ALTER TABLE gateway.deliveries SET (autovacuum_enabled = off)")
	now := inboxtest.Epoch
	for round := range rounds {
		now = now.Add(time.Second)
		batch := make([]inbox.Incoming, perRound)
		for i := range batch {
			batch[i] = inboxtest.Incoming(fmt.Sprintf("%d of %d", i, round), "body")
			batch[i].ReceiveTime = now
		}
		mustAdd(t, store, batch...)
		// The first claim of each second looks at everything.
		for range 3 {
			mustFinish(t, store, forwarded(mustClaim(t, store, now))...)
		}
	}
	conn := postgresql.Connect(t, url)
	blocks := func(fresh, tried int64) int {
		plan := explain(t, conn, true, postgres.Claim, []any{now.UnixNano(), 100, now.UnixNano(), 1, 1 << 20, fresh, tried})
		match := blocksRead.FindStringSubmatch(plan)
		if match == nil {
			t.Fatalf("the plan does not tell how many blocks it reads:\n%s", plan)
		}
		n, _ := strconv.Atoi(match[1])
		return n
	}
	all, few := blocks(math.MinInt64, math.MinInt64), blocks(store.From())
	// Both also read other data than the index, such as the catalog. That varies with the other work of the server.
	if all-few < 50 {
		t.Errorf("a claim reads %d blocks, and %d from the very beginning; want 50 more, those of the finished ones", few, all)
	}
}

func TestStore_Claim_findsALateCommitWithinASecond(t *testing.T) {
	t.Parallel()
	url := postgresql.Database(t)
	store, other := mustOpen(t, url), mustOpen(t, url)
	now := inboxtest.Epoch.Add(time.Hour)
	early, late := inboxtest.Incoming("early", "early"), inboxtest.Incoming("late", "late")
	early.ReceiveTime = now
	mustAdd(t, store, early)
	mustFinish(t, store, forwarded(mustClaim(t, store, now))...)
	mustAdd(t, other, late)
	if claimed := mustClaim(t, store, now.Add(time.Second)); len(claimed) != 1 || claimed[0].EventID != "late" {
		t.Errorf("claimed %d a second later, want the one that turned up", len(claimed))
	}
	// By then it is leased, and a clock that was set back does not hide it.
	back := now.Add(-time.Minute)
	if claimed := mustClaim(t, store, back); len(claimed) != 0 {
		t.Errorf("claimed %d of what is leased", len(claimed))
	}
	if due, pending, err := store.NextDue(t.Context()); err != nil || !pending || !due.Equal(now.Add(time.Second+lease)) {
		t.Errorf("NextDue = %v, %v, %v; want the lease's end", due, pending, err)
	}
}
