package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/sqlite"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func TestStore_Erase_leavesNothingInTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	// The description fills pages of its own. The title is inside a row.
	const personal, also = "the tenant's name", "the tenant's number"
	changes := []ticket.Change{
		{EventID: "e1", Name: ticket.Created, TicketID: "t", OccurTime: tickettest.At(1),
			Fields: tickettest.Named("title", "description", "app_id", "category_id"),
			Values: ticket.Ticket{Title: also, AppID: also, CategoryID: also, Description: strings.Repeat(personal, 2000)}},
		{EventID: "e2", Name: ticket.Updated, TicketID: "t", OccurTime: tickettest.At(2), Fields: tickettest.Named("phone_number"),
			Values: ticket.Ticket{PhoneNumber: also}},
	}
	if _, err := store.Append(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	if events, err := store.Erase(t.Context(), "t"); err != nil || events != 2 {
		t.Fatalf("Erase = %d, %v", events, err)
	}
	wantGone(t, store, path, personal, also)
}

// TestStore_Erase_leavesNoWordInTheFile erases a ticket whose words, some of them of an older title, have been moved in the index
// since. The index was rebuilt before.
func TestStore_Erase_leavesNoWordInTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	store := mustOpen(t, path)
	commits := 0
	record := func(ticketID, title string) {
		t.Helper()
		commits++
		c := ticket.Change{EventID: fmt.Sprintf("e%d", commits), Name: ticket.Updated, TicketID: ticketID,
			OccurTime: tickettest.At(int64(commits)), Fields: tickettest.Named("title"), Values: ticket.Ticket{Title: title}}
		if _, err := store.Append(t.Context(), []ticket.Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	others := func() {
		for range 200 {
			record(fmt.Sprintf("other%d", commits), fmt.Sprintf("words of other ticket%d", commits))
		}
	}
	others()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, path, "UPDATE words_version SET version = 'other'")
	store = mustOpen(t, path)
	record("t", "qqbefore vvboth")
	others()
	record("t", "xxafter vvboth")
	others()
	if _, err := store.Erase(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	wantGone(t, store, path, "qqbefore", "xxafter", "vvboth")
}

// TestStore_Erase_leavesNoWordInAnyIndex erases a ticket while FTS5 has all parts of its index on one level, below empty levels. The
// earlier erasures make these levels. Then so much is written at once that the rest of the erasures moves to a lower level again.
func TestStore_Erase_leavesNoWordInAnyIndex(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	store := mustOpen(t, path)
	events := 0
	record := func(ids string, tickets int, title func(i int) string) {
		t.Helper()
		changes := make([]ticket.Change, tickets)
		for i := range changes {
			events++
			changes[i] = ticket.Change{EventID: fmt.Sprint("e", events), Name: ticket.Updated, TicketID: fmt.Sprint(ids, i),
				OccurTime: tickettest.At(int64(events)), Fields: tickettest.Named("title"), Values: ticket.Ticket{Title: title(i)}}
		}
		if _, err := store.Append(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
	}
	erased := func(id, title string) {
		t.Helper()
		record(id, 1, func(int) string { return title })
		if _, err := store.Erase(t.Context(), id+"0"); err != nil {
			t.Fatal(err)
		}
	}
	rare := func(i int) string {
		var words strings.Builder
		for word := range 20 {
			_, _ = fmt.Fprintf(&words, "w%07x ", (events*20+word)*2654435761%(1<<28))
		}
		return fmt.Sprint(words.String(), i)
	}
	record("few", 60, rare)
	erased("x", "first")
	erased("y", "second")
	record("many", 250, rare)
	erased("z", "qqfirst vvsecond")
	wantGone(t, store, path, "qqfirst", "vvsecond")
}

// TestStore_Erase_wordsOfAnUnreadableTicket erases a ticket that can't be decoded, so its words are not known.
func TestStore_Erase_wordsOfAnUnreadableTicket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	store := mustOpen(t, path)
	for i, title := range []string{"shared first", "shared second shared", "shared secondary"} {
		c := ticket.Change{EventID: fmt.Sprint(i), Name: ticket.Created, TicketID: title, OccurTime: tickettest.At(1),
			Fields: tickettest.Named("title", "description"), Values: ticket.Ticket{Title: title, Description: "both " + title}}
		if _, err := store.Append(t.Context(), []ticket.Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	const unreadable = "shared second shared"
	mustExec(t, path, "UPDATE tickets SET content = x'ff' WHERE ticket_id = ?", unreadable)
	store = mustOpen(t, path)
	for _, want := range []int64{1, 0} {
		if events, err := store.Erase(t.Context(), unreadable); err != nil || events != want {
			t.Fatalf("Erase = %d, %v, want %d", events, err, want)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, path, "INSERT INTO ticket_words (ticket_words) VALUES ('integrity-check')")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for word, want := range map[string]string{"shared": "1 3", "both": "1 3", "first": "1", "secondary": "3", "second": ""} {
		var numbers string
		err := db.QueryRowContext(t.Context(), "SELECT coalesce(group_concat(rowid, ' '), '') FROM ticket_words WHERE ticket_words MATCH ?",
			word).Scan(&numbers)
		if err != nil || numbers != want {
			t.Errorf("the index has the word %q of the tickets %q, %v, want %q", word, numbers, err, want)
		}
	}
}

// wantGone closes the store, and fails if its files contain one of the texts.
func wantGone(t *testing.T, store *sqlite.Store, path string, texts ...string) {
	t.Helper()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if bytes.Contains(content, []byte(text)) {
				t.Errorf("%s still holds %q, which was erased", filepath.Base(file), text)
			}
		}
	}
}

// TestStore_Erase_walFile checks the bytes of a store's files while the store is open.
func TestStore_Erase_walFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	store := mustOpen(t, path)
	defer func() { _ = store.Close() }()
	const personal = "the tenant's name"
	recordTitle(t, store, "t", personal)
	if hits(t, path, personal) == 0 {
		t.Fatal("the title is in no file before it is erased")
	}
	mustErase(t, store, "t")
	for i := range 200 {
		recordTitle(t, store, fmt.Sprint("other", i), "another title")
	}
	if found := hits(t, path, personal); found != 0 {
		t.Errorf("the files have an erased title %d times, after 200 more events", found)
	}
}

// TestStore_Erase_walFileWhileSomebodyReads erases while a reader sees the earlier state, so that the -wal file can't be emptied yet.
func TestStore_Erase_walFileWhileSomebodyReads(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, crashed := filepath.Join(folder, "tickets.db"), filepath.Join(folder, "crashed.db")
	store := mustOpen(t, path)
	defer func() { _ = store.Close() }()
	const personal = "the tenant's name"
	recordTitle(t, store, "t", personal)
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	reading, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var tickets int
	if err := reading.QueryRowContext(t.Context(), "SELECT count(*) FROM tickets").Scan(&tickets); err != nil || tickets != 1 {
		t.Fatal(tickets, err)
	}
	mustErase(t, store, "t")
	if hits(t, path, personal) == 0 {
		t.Fatal("the title is in no file although somebody reads the state before its erasure")
	}
	// A crash would leave the files as they are at this moment.
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err := errors.Join(err, os.WriteFile(crashed+suffix, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := reading.Rollback(); err != nil {
		t.Fatal(err)
	}
	mustErase(t, store, "unknown")
	if found := hits(t, path, personal); found != 0 {
		t.Errorf("the files have an erased title %d times, after the reader's end and the next erasure", found)
	}
	restarted := mustOpen(t, crashed)
	defer func() { _ = restarted.Close() }()
	if found := hits(t, crashed, personal); found != 0 {
		t.Errorf("the files have an erased title %d times, after a crash and the next start", found)
	}
}

// TestStore_Erase_alreadyErased checks that a gateway that repeats erasures after a restore does not cause the -wal file to be emptied for
// tickets that are erased already.
func TestStore_Erase_alreadyErased(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tickets.db")
	store := mustOpen(t, path)
	defer func() { _ = store.Close() }()
	recordTitle(t, store, "t", "a title")
	mustErase(t, store, "t")
	recordTitle(t, store, "other", "another title")
	mustErase(t, store, "t")
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		t.Errorf("the -wal file was emptied although nothing was erased: %v", err)
	}
}

func recordTitle(t *testing.T, store *sqlite.Store, ticketID, title string) {
	t.Helper()
	if _, err := store.Append(t.Context(), []ticket.Change{{EventID: ticketID, Name: ticket.Created, TicketID: ticketID,
		OccurTime: tickettest.At(1), Fields: tickettest.Named("title"), Values: ticket.Ticket{Title: title}}}); err != nil {
		t.Fatal(err)
	}
}

func mustErase(t *testing.T, store *sqlite.Store, ticketID string) {
	t.Helper()
	if _, err := store.Erase(t.Context(), ticketID); err != nil {
		t.Fatal(err)
	}
}

// hits returns the number of occurrences of a text in the database and its -wal file.
func hits(t *testing.T, path, text string) (count int) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		count += bytes.Count(content, []byte(text))
	}
	return count
}

func TestStore_ListErasures_readsNoOtherEvent(t *testing.T) {
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
	var id, parent, unused int
	var plan string
	// A plan with one step has one row.
	row := db.QueryRowContext(t.Context(), "EXPLAIN QUERY PLAN "+sqlite.ReadErasures, 5, 10)
	if err := row.Scan(&id, &parent, &unused, &plan); err != nil {
		t.Fatal(err)
	}
	if want := "SEARCH events USING INDEX sqlite_autoindex_events_1 (event_id=? AND rowid>?)"; plan != want {
		t.Errorf("the plan is %q, want %q", plan, want)
	}
}
