// Package clients_test runs the programs of this folder against ticketsvc, as processes of their own, through everything that a copy of all
// tickets has to outlive.
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

func TestACopyStaysInStep(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w := newWorld(t, program)
		w.create(t, ids("a", 300)...)
		w.update(t, ids("a", 20)...)

		// A token that does not count is said, and the right one is taken over without a restart.
		w.startFollower(t)
		eventually(t, func() error {
			if !strings.Contains(w.log(t), "refuses the token") {
				return errors.New("the log does not say that the token is refused")
			}
			return nil
		})
		mustWrite(t, w.path("token"), readerToken+"\n")
		w.expectInStep(t)

		w.create(t, ids("b", 50)...)
		w.update(t, slices.Concat(ids("b", 10), ids("a", 40))...)
		w.erase(t, "a001")
		w.expectInStep(t)

		w.ticketsvc.Kill()
		w.restartTicketsvc(t)
		w.create(t, ids("c", 20)...)
		w.expectInStep(t)

		stop(t, w.ticketsvc)
		w.restartTicketsvc(t)
		w.update(t, slices.Concat(ids("c", 5), ids("a", 5)[2:])...)
		w.expectInStep(t)

		// What happens while nobody follows is made up for, whether the follower was killed or stopped.
		w.follower.Kill()
		w.create(t, ids("d", 20)...)
		w.erase(t, "b000")
		w.startFollower(t)
		w.expectInStep(t)
		stop(t, w.follower)
		w.update(t, "a100", "d000", "e000")
		w.erase(t, "c000")
		w.startFollower(t)
		w.expectInStep(t)

		if log := w.log(t); strings.Contains(log, "starting again") || strings.Contains(log, "hush") || strings.Contains(log, "klemmt") {
			t.Errorf("the follower began anew, or its log says what it should not:\n%s", log)
		}
		w.expectLookUps(t)
		stop(t, w.follower)
	})
}

// expectLookUps asks for single tickets while the copy is followed.
func (w *world) expectLookUps(t *testing.T) {
	t.Helper()
	for id, complete := range map[string]bool{"a100": true, "e000": false} {
		printed, note, err := w.ask(t, "--get", id)
		if err != nil {
			t.Errorf("%s: %v: %s", id, err, note)
			continue
		}
		got := &ticketv1.Ticket{}
		if err := protojson.Unmarshal([]byte(printed), got); err != nil {
			t.Errorf("%v in %q", err, printed)
		}
		if diff := cmp.Diff(w.listed(t)[id], got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		if got.GetComplete() != complete || strings.Contains(note, "not all of this ticket is known yet") == complete {
			t.Errorf("%s: complete is %v, want %v, and a note when it is not: %q", id, got.GetComplete(), complete, note)
		}
	}
	for _, id := range []string{"nowhere", "b000"} {
		printed, says, err := w.ask(t, "--get", id)
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 || printed != "" ||
			!strings.Contains(says, "no such ticket in the copy") {
			t.Errorf("%s: %v, %q, %q; want exit status 1 and a line that says why", id, err, printed, says)
		}
	}
}

func TestWhatIsErasedIsGoneFromTheFiles(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		const marker = "marker-of-what-is-erased"
		w := newWorld(t, program)
		mustWrite(t, w.path("token"), readerToken)
		w.create(t, ids("a", 20)...)
		w.create(t, marker)
		w.startFollower(t)
		w.expectInStep(t)
		if !w.filesHave(t, marker) {
			t.Error("the files of the copy do not hold what is in it, as far as this test can tell")
		}
		w.erase(t, marker)
		w.expectInStep(t)
		eventually(t, func() error {
			if w.filesHave(t, marker) {
				return errors.New("the files of the copy hold what was erased")
			}
			return nil
		})
		stop(t, w.follower)
	})
}

// TestWhatCameWhileTheFileWasWrittenIsSaved stops the client in TypeScript, which alone writes its copy from time to time, in between.
func TestWhatCameWhileTheFileWasWrittenIsSaved(t *testing.T) {
	t.Parallel()
	node, folder := external.Node(t)
	w := &world{folder: t.TempDir(),
		program: []string{node, filepath.Join(folder, "dist", "test", "stop.js"), filepath.Join(t.TempDir(), "copy")}}
	saved, says, err := w.ask(t)
	if err != nil || saved != "meanwhile\n" {
		t.Errorf("the file has the token %q, %v: %s", saved, err, says)
	}
}

// TestANewDatabaseMeansToStartAgain has ticketsvc lose its database, so that no token of before can be served.
func TestANewDatabaseMeansToStartAgain(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w := newWorld(t, program)
		mustWrite(t, w.path("token"), readerToken)
		w.create(t, ids("a", 50)...)
		w.startFollower(t)
		w.expectInStep(t)

		w.ticketsvc.Kill()
		databases, err := filepath.Glob(w.path("ticketsvc.db*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range databases {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		w.restartTicketsvc(t)
		w.create(t, slices.Concat(ids("a", 10), ids("b", 10))...)
		w.expectInStep(t)
		if log := w.log(t); !strings.Contains(log, "starting again") {
			t.Errorf("the log does not say that the follower began anew:\n%s", log)
		}

		// The new token serves as the old one did.
		stop(t, w.follower)
		w.update(t, ids("b", 3)...)
		w.startFollower(t)
		w.expectInStep(t)
		if starts := strings.Count(w.log(t), "starting again"); starts != 1 {
			t.Errorf("it began anew %d times", starts)
		}
		stop(t, w.follower)
	})
}
