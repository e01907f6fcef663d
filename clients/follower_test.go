package clients_test

import (
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	_ "modernc.org/sqlite" // the driver

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// TestNothingIsDroppedBeforeTheNewWalkIsOver interrupts the walk that follows the loss of a database by everything that may come there.
func TestNothingIsDroppedBeforeTheNewWalkIsOver(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w, s := newScript(t, program)
		w.startFollower(t)
		c := s.expectCall(t, "")
		c.send(t, walked("1", "a", 7), walked("2", "b", 7), walked("3", "c", 7), walked("4", "d", 7), walked("5", "e", 7), heartbeat("6", false))
		c.end(t, connect.CodeUnavailable)
		s.expectCall(t, "6").end(t, connect.CodeOutOfRange)

		// The walk is quiet for a while, and ticketsvc stops in the middle of it.
		c = s.expectCall(t, "")
		c.send(t, walked("11", "a", 2), heartbeat("12", true), walked("13", "b", 2), heartbeat("14", true))
		c.end(t, connect.CodeUnavailable)
		c = s.expectCall(t, "14")
		c.send(t, walked("15", "c", 2))
		w.expectCopy(t, "a2 b2 c2 d7 e7")

		// The follower is killed in the middle of it.
		w.follower.Kill()
		w.startFollower(t)
		c = s.expectCall(t, "15")
		c.send(t, heartbeat("16", true), walked("17", "d", 2))
		c.end(t, connect.CodeUnavailable)
		c = s.expectCall(t, "17")
		c.send(t, walked("18", "f", 1))
		w.expectCopy(t, "a2 b2 c2 d2 e7 f1")

		c.send(t, heartbeat("19", false))
		w.expectCopy(t, "a2 b2 c2 d2 f1")
		stop(t, w.follower)
	})
}

// TestTheGreaterRevisionCounts has tickets come older than they were, as after a walk, behind another replica and from a restored database.
func TestTheGreaterRevisionCounts(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w, s := newScript(t, program)
		w.startFollower(t)
		c := s.expectCall(t, "")
		c.send(t, walked("1", "a", 2), walked("2", "b", 1), heartbeat("3", false), changed("4", "a", 1), changed("5", "c", 1))
		w.expectCopy(t, "a2 b1 c1")
		c.send(t, changed("6", "a", 2), changed("7", "b", 5))
		c.end(t, connect.CodeUnavailable)
		c = s.expectCall(t, "7")
		c.send(t, changed("8", "b", 4), changed("9", "c", 2))
		w.expectCopy(t, "a2 b5 c2")

		// What a new walk brings is right, though it is less. From there on the greater one counts again, in the walk as well.
		c.end(t, connect.CodeOutOfRange)
		c = s.expectCall(t, "")
		c.send(t, walked("11", "a", 1), walked("12", "b", 3), walked("13", "b", 2), heartbeat("14", false), changed("15", "b", 2),
			changed("16", "d", 1))
		w.expectCopy(t, "a1 b3 d1")
		stop(t, w.follower)
	})
}

// TestWhatIsErasedGoesOnceNobodyReads has a reader at the file of the copy, which keeps SQLite from emptying its log.
func TestWhatIsErasedGoesOnceNobodyReads(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"Go", "Python"} { // The copy in TypeScript is no SQLite file.
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			const marker = "marker-of-what-is-erased"
			w, s := newScript(t, programs[language](t))
			w.startFollower(t)
			c := s.expectCall(t, "")
			c.send(t, walked("1", "a", 1), walked("2", marker, 1), heartbeat("3", false), changed("4", marker, 2))
			w.expectCopy(t, "a1 "+marker+"2")

			reader, err := sql.Open("sqlite", "file:"+w.path("copy")+"?_pragma=busy_timeout(5000)")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = reader.Close() }()
			reading, err := reader.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var count int
			if err := reading.QueryRowContext(t.Context(), "SELECT count(*) FROM tickets").Scan(&count); err != nil || count != 2 {
				t.Fatalf("%d tickets, %v", count, err)
			}
			c.send(t, erased("5", marker))
			c.end(t, connect.CodeUnavailable)
			c = s.expectCall(t, "5")
			if !w.filesHave(t, marker) {
				t.Error("the log was emptied while somebody read it, as far as this test can tell")
			}
			if err := reading.Rollback(); err != nil {
				t.Fatal(err)
			}
			c.send(t, heartbeat("6", false))
			eventually(t, func() error {
				if w.filesHave(t, marker) {
					return errors.New("the files of the copy hold what was erased")
				}
				return nil
			})
			stop(t, w.follower)
		})
	}
}

func TestTicketsvcCanHaveAnAddressOfIPv6(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w, s := newScriptAt(t, "[::1]:0", program)
		w.startFollower(t)
		s.expectCall(t, "").send(t, walked("1", "a", 1))
		w.expectCopy(t, "a1")
		stop(t, w.follower)
	})
}

// TestATokenThatIsWantedIsNamed calls a ticketsvc that has tokens without one, which is another thing than one that does not count.
func TestATokenThatIsWantedIsNamed(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w, s := newScript(t, program)
		w.follower = mustStart(t, process.Command{Path: w.program[0], LogPath: w.path("follower.log"),
			Args: append(slices.Clone(w.program[1:]), "--url", w.url, "--copy", w.path("copy"))})
		t.Cleanup(w.follower.Kill)
		s.expectCall(t, "").end(t, connect.CodeUnauthenticated)
		w.expectLog(t, "--token-file", 1)
		s.expectCall(t, "").send(t, walked("1", "a", 1))
		w.expectCopy(t, "a1")
		if log := w.log(t); strings.Contains(log, "refuses") {
			t.Errorf("the log says that a token was refused, which was not shown:\n%s", log)
		}
		stop(t, w.follower)
	})
}

func TestWrongUsageIsRefusedAtTheStart(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w := &world{folder: t.TempDir(), program: program}
		refused := func(mends []string, args ...string) {
			printed, says, err := w.ask(t, args...)
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 2 || printed != "" {
				t.Errorf("%q: %v, %q; want exit status 2", args, err, printed)
			}
			for _, mend := range mends {
				if !strings.Contains(says, mend) {
					t.Errorf("%q: it says %q, want it to name %s", args, says, mend)
				}
			}
		}
		for _, url := range []string{"localhost:9090", "127.0.0.1:9090", "ftp://localhost:9090", "http://"} {
			refused([]string{"--url", "http://127.0.0.1:9090"}, "--url", url)
		}
		refused([]string{"--get", "id"}, "--get", "")
		refused([]string{"no-such-option"}, "--no-such-option")
	})
}

func TestHelpNamesTheCommandAndItsOptions(t *testing.T) {
	commands := map[string]string{"Go": "go run ./clients/go", "TypeScript": "node clients/typescript/dist/src/main.js",
		"Python": "follow_tickets.py"}
	eachClient(t, func(t *testing.T, program []string) {
		w := &world{folder: t.TempDir(), program: program}
		printed, says, err := w.ask(t, "--help")
		if err != nil {
			t.Error(err)
		}
		for _, want := range []string{commands[filepath.Base(t.Name())], "in sync with ticketsvc", "-token-file", "-list"} {
			if !strings.Contains(printed+says, want) {
				t.Errorf("the help lacks %q:\n%s", want, printed+says)
			}
		}
		if strings.Contains(printed+says, filepath.Dir(program[0])+"/") && filepath.Base(t.Name()) == "Go" {
			t.Errorf("the help has the path of the binary:\n%s", printed+says)
		}
	})
}

// TestAChangeHasALine follows changes and an erasure, and expects a line for each, but none for a ticket of the first walk.
func TestAChangeHasALine(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w, s := newScript(t, program)
		w.startFollower(t)
		s.expectCall(t, "").send(t, walked("1", "first", 1), heartbeat("2", false), changed("3", "second", 1), erased("4", "third"))
		w.expectLog(t, "ticket changed", 1)
		w.expectLog(t, "ticket removed", 1)
		log := w.log(t)
		if !strings.Contains(log, "second") || !strings.Contains(log, "third") || !strings.Contains(log, "ERASED") ||
			strings.Contains(log, "first\"") || strings.Contains(log, "'first'") {
			t.Errorf("the log does not name the ticket that changed and the one that was removed, and these alone:\n%s", log)
		}
		stop(t, w.follower)
	})
}

// TestPythonWithoutGeneratedCodeNamesTheCommand runs the client from a folder without the code that make client-python generates.
func TestPythonWithoutGeneratedCodeNamesTheCommand(t *testing.T) {
	t.Parallel()
	program := programs["Python"](t)
	source, err := os.ReadFile(program[1])
	if err != nil {
		t.Fatal(err)
	}
	w := &world{folder: t.TempDir()}
	w.program = []string{program[0], w.path("follow_tickets.py")}
	mustWrite(t, w.program[1], string(source))
	if _, says, err := w.ask(t, "--help"); err == nil || !strings.Contains(says, "make client-python") || strings.Contains(says, "Traceback") {
		t.Errorf("it ended with %v and said %q, want one line that names make client-python", err, says)
	}
}

func TestASilentStreamIsGivenUp(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w, s := newScript(t, program)
		w.startFollower(t, "--silence", "2")
		s.expectCall(t, "").send(t, heartbeat("1", false))
		s.expectCall(t, "1").send(t, walked("2", "a", 1))
		w.expectCopy(t, "a1")
		w.expectLog(t, "nothing came for 2", 1)
		stop(t, w.follower)
	})
}

// TestATokenThatCantBeReadIsTriedAgain gives the client files without a token to show. None of them is a reason to end, or to call without.
func TestATokenThatCantBeReadIsTriedAgain(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		w, s := newScript(t, program)
		if err := os.Remove(w.path("token")); err != nil {
			t.Fatal(err)
		}
		w.startFollower(t)
		w.expectLog(t, w.path("token"), 1)
		if log := strings.ToLower(w.log(t)); !strings.Contains(log, "the token can't be read") || !strings.Contains(log, "no such file") {
			t.Errorf("the log does not say why the token can't be read:\n%s", log)
		}
		for _, content := range []string{"", readerToken + "\n" + readerToken} {
			mustWrite(t, w.path("token"), content)
			w.expectLog(t, "holds no token", strings.Count(w.log(t), "holds no token")+1)
		}
		mustWrite(t, w.path("token"), readerToken+"\n")
		c := s.expectCall(t, "")
		if want := "Bearer " + readerToken; c.authorization != want {
			t.Errorf("the client shows %q, want %q", c.authorization, want)
		}
		if log := w.log(t); strings.Contains(log, "refuses") || strings.Contains(log, readerToken) {
			t.Errorf("the log says that the token was refused, or holds it:\n%s", log)
		}
		stop(t, w.follower)
	})
}
