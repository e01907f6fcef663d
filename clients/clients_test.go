// Package clients_test runs the programs of this folder as separate processes against ticketsvc. It causes each interruption that a copy of
// all tickets must survive.
package clients_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/testkit/external"
)

func TestFollow_staysInSync(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h := newHarness(t, program)
		h.create(t, ids("a", 300)...)
		h.update(t, ids("a", 20)...)

		// The follower logs that its token is refused, and uses a new token without a restart.
		h.startFollower(t)
		eventually(t, func() error {
			if !strings.Contains(h.log(t), "refuses the token") {
				return errors.New("the log lacks the refusal of the token")
			}
			return nil
		})
		mustWrite(t, h.path("token"), readerToken+"\n")
		h.expectInSync(t)

		h.create(t, ids("b", 50)...)
		h.update(t, slices.Concat(ids("b", 10), ids("a", 40))...)
		h.erase(t, "a001")
		h.expectInSync(t)

		h.ticketsvc.Kill()
		h.restartTicketsvc(t)
		h.create(t, ids("c", 20)...)
		h.expectInSync(t)

		stop(t, h.ticketsvc)
		h.restartTicketsvc(t)
		h.update(t, slices.Concat(ids("c", 5), ids("a", 5)[2:])...)
		h.expectInSync(t)

		// The follower catches up with the changes of the time in which it did not run, after a kill and after a stop.
		h.follower.Kill()
		h.create(t, ids("d", 20)...)
		h.erase(t, "b000")
		h.startFollower(t)
		h.expectInSync(t)
		stop(t, h.follower)
		h.update(t, "a100", "d000", "e000")
		h.erase(t, "c000")
		h.startFollower(t)
		h.expectInSync(t)

		if log := h.log(t); strings.Contains(log, "starting again") || strings.Contains(log, "hush") || strings.Contains(log, "klemmt") {
			t.Errorf("the follower started again, or its log has a token or the text of a ticket:\n%s", log)
		}
		h.expectLookUps(t)
		stop(t, h.follower)
	})
}

// expectLookUps prints single tickets while the follower runs.
func (h *harness) expectLookUps(t *testing.T) {
	t.Helper()
	for id, complete := range map[string]bool{"a100": true, "e000": false} {
		printed, note, err := h.ask(t, "--get", id)
		if err != nil {
			t.Errorf("%s: %v: %s", id, err, note)
			continue
		}
		got := &ticketv1.Ticket{}
		if err := protojson.Unmarshal([]byte(printed), got); err != nil {
			t.Errorf("%v in %q", err, printed)
		}
		if diff := cmp.Diff(h.listed(t)[id], got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		if got.GetComplete() != complete || strings.Contains(note, "the ticket is incomplete") == complete {
			t.Errorf("%s: complete is %v, want %v, and a note for an incomplete ticket: %q", id, got.GetComplete(), complete, note)
		}
	}
	for _, id := range []string{"nowhere", "b000"} {
		printed, message, err := h.ask(t, "--get", id)
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 || printed != "" ||
			!strings.Contains(message, "no such ticket in the copy") {
			t.Errorf("%s: %v, %q, %q; want exit status 1 and a line with the reason", id, err, printed, message)
		}
	}
}

func TestCopy_erasedTicketIsGoneFromTheFiles(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		const marker = "marker-of-an-erased-ticket"
		h := newHarness(t, program)
		mustWrite(t, h.path("token"), readerToken)
		h.create(t, ids("a", 20)...)
		h.create(t, marker)
		h.startFollower(t)
		h.expectInSync(t)
		if !h.filesHave(t, marker) {
			t.Error("the files of the copy lack the ticket, or this test does not find it")
		}
		h.erase(t, marker)
		h.expectInSync(t)
		eventually(t, func() error {
			if h.filesHave(t, marker) {
				return errors.New("the files of the copy still have the erased ticket")
			}
			return nil
		})
		stop(t, h.follower)
	})
}

// TestTypeScript_savesMessagesThatArriveWhileItWrites stops the client in TypeScript while it writes its file. The other clients write each
// message at once.
func TestTypeScript_savesMessagesThatArriveWhileItWrites(t *testing.T) {
	t.Parallel()
	node, folder := external.Node(t)
	h := &harness{folder: t.TempDir(),
		program: []string{node, filepath.Join(folder, "dist", "test", "stop.js"), filepath.Join(t.TempDir(), "copy")}}
	saved, message, err := h.ask(t)
	if err != nil || saved != "meanwhile\n" {
		t.Errorf("the file has the token %q, %v: %s", saved, err, message)
	}
}

// TestFollow_newDatabaseStartsAgain removes the database of ticketsvc, so that ticketsvc can't resume from earlier tokens.
func TestFollow_newDatabaseStartsAgain(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h := newHarness(t, program)
		mustWrite(t, h.path("token"), readerToken)
		h.create(t, ids("a", 50)...)
		h.startFollower(t)
		h.expectInSync(t)

		h.ticketsvc.Kill()
		databases, err := filepath.Glob(h.path("ticketsvc.db*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range databases {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		h.restartTicketsvc(t)
		h.create(t, slices.Concat(ids("a", 10), ids("b", 10))...)
		h.expectInSync(t)
		if log := h.log(t); !strings.Contains(log, "starting again") {
			t.Errorf("the log lacks that the follower started again:\n%s", log)
		}

		// The follower resumes with the new token.
		stop(t, h.follower)
		h.update(t, ids("b", 3)...)
		h.startFollower(t)
		h.expectInSync(t)
		if starts := strings.Count(h.log(t), "starting again"); starts != 1 {
			t.Errorf("the follower started again %d times, want 1", starts)
		}
		stop(t, h.follower)
	})
}
