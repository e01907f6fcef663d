//go:build linux

package sqlite_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// listFile is the environment variable with the database whose tickets a separate process lists.
const listFile = "TEST_LIST_FILE"

// TestStore_List_takesLittleMemory reads the first tickets of lists that SQLite has to sort. The tickets are large together. A separate
// process does so, so that its memory can be measured.
func TestStore_List_takesLittleMemory(t *testing.T) {
	if path := os.Getenv(listFile); path != "" {
		listAll(t, path)
		return
	}
	t.Parallel()
	const tickets, bytes = 300, 500_000
	path := filepath.Join(t.TempDir(), "tickets.db")
	store := mustOpen(t, path)
	for i := range tickets {
		c := ticket.Change{EventID: fmt.Sprint("e", i), Name: ticket.Updated, TicketID: fmt.Sprint("t", i), OccurTime: tickettest.At(int64(i)),
			Fields: tickettest.Named("title", "description", "property_id"),
			Values: ticket.Ticket{Title: "Lift", PropertyID: "p", Description: strings.Repeat("x", bytes)}}
		if _, err := store.Append(t.Context(), []ticket.Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self, "-test.run=^TestStore_List_takesLittleMemory$", "-test.v")
	command.Env = append(os.Environ(), listFile+"="+path)
	said, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	found := regexp.MustCompile(`took (\d+) kB`).FindSubmatch(said)
	if found == nil {
		t.Fatalf("it says %q", said)
	}
	if took, err := strconv.Atoi(string(found[1])); err != nil || took > tickets*bytes/1000/2 {
		t.Errorf("to list tickets of %d kB, of which a page has %d, took %d kB", tickets*bytes/1000, ticket.MaxPageBytes/1000, took)
	}
}

// listAll prints by how much lists increase the memory of the process.
func listAll(t *testing.T, path string) {
	store := mustOpen(t, path)
	defer func() { _ = store.Close() }()
	before := mostMemory(t)
	for _, filter := range []ticket.Filter{{PropertyIDs: []string{"p"}}, {Text: "lift"}, {Text: "lift", PropertyIDs: []string{"p"}}} {
		page, more, err := store.List(t.Context(), filter, ticket.Order{}, nil, ticket.PageLimit{Items: 1000, Bytes: ticket.MaxPageBytes})
		if err != nil || len(page) == 0 || !more {
			t.Fatalf("%+v: %d tickets, more %v, %v", filter, len(page), more, err)
		}
	}
	t.Logf("took %d kB", mostMemory(t)-before)
}

// mostMemory returns the maximum memory that the process has had, in kB.
func mostMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if peak == nil {
		t.Fatalf("%s", status)
	}
	kilobytes, err := strconv.Atoi(string(peak[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes
}
