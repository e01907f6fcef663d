package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
)

// TestStore_Stats_groupsUseTheIndex fails if SQLite would read all tickets of a group to find the one that has waited longest.
func TestStore_Stats_groupsUseTheIndex(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	if err := mustOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+sqlite.GroupStats)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	const want = "USING COVERING INDEX tickets_by_wait (app_id=? AND category_id=? AND status=? AND <expr>=?)"
	if text := strings.Join(plan, "\n"); !strings.Contains(text, want) || strings.Contains(text, "TEMP B-TREE") {
		t.Errorf("the plan is\n%s\nwant %s, and nothing to sort", text, want)
	}
}
