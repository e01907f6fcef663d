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

// TestCopy_keepsStaleTicketsUntilTheSnapshotEnds interrupts the snapshot after the loss of a database in each possible way.
func TestCopy_keepsStaleTicketsUntilTheSnapshotEnds(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h, s := newScript(t, program)
		h.startFollower(t)
		c := s.expectCall(t, "")
		c.send(t, inSnapshot("1", "a", 7), inSnapshot("2", "b", 7), inSnapshot("3", "c", 7), inSnapshot("4", "d", 7), inSnapshot("5", "e", 7),
			heartbeat("6", false))
		c.end(t, connect.CodeUnavailable)
		s.expectCall(t, "6").end(t, connect.CodeOutOfRange)

		// The snapshot has no matching ticket for a while, and ticketsvc stops in the middle of it.
		c = s.expectCall(t, "")
		c.send(t, inSnapshot("11", "a", 2), heartbeat("12", true), inSnapshot("13", "b", 2), heartbeat("14", true))
		c.end(t, connect.CodeUnavailable)
		c = s.expectCall(t, "14")
		c.send(t, inSnapshot("15", "c", 2))
		h.expectCopy(t, "a2 b2 c2 d7 e7")

		// The follower is killed in the middle of the snapshot.
		h.follower.Kill()
		h.startFollower(t)
		c = s.expectCall(t, "15")
		c.send(t, heartbeat("16", true), inSnapshot("17", "d", 2))
		c.end(t, connect.CodeUnavailable)
		c = s.expectCall(t, "17")
		c.send(t, inSnapshot("18", "f", 1))
		h.expectCopy(t, "a2 b2 c2 d2 e7 f1")

		c.send(t, heartbeat("19", false))
		h.expectCopy(t, "a2 b2 c2 d2 f1")
		stop(t, h.follower)
	})
}

// TestCopy_keepsTheGreaterRevision sends older revisions of tickets. They can come after a snapshot, from another replica, and from a
// restored database.
func TestCopy_keepsTheGreaterRevision(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h, s := newScript(t, program)
		h.startFollower(t)
		c := s.expectCall(t, "")
		c.send(t, inSnapshot("1", "a", 2), inSnapshot("2", "b", 1), heartbeat("3", false), changed("4", "a", 1), changed("5", "c", 1))
		h.expectCopy(t, "a2 b1 c1")
		c.send(t, changed("6", "a", 2), changed("7", "b", 5))
		c.end(t, connect.CodeUnavailable)
		c = s.expectCall(t, "7")
		c.send(t, changed("8", "b", 4), changed("9", "c", 2))
		h.expectCopy(t, "a2 b5 c2")

		// A new snapshot replaces tickets even by lower revisions. After that the greater revision stays, also within the snapshot.
		c.end(t, connect.CodeOutOfRange)
		c = s.expectCall(t, "")
		c.send(t, inSnapshot("11", "a", 1), inSnapshot("12", "b", 3), inSnapshot("13", "b", 2), heartbeat("14", false), changed("15", "b", 2),
			changed("16", "d", 1))
		h.expectCopy(t, "a1 b3 d1")
		stop(t, h.follower)
	})
}

// TestCopy_erasedTicketIsGoneAfterTheLastReader has a reader of the copy's file, which keeps SQLite from truncating its log.
func TestCopy_erasedTicketIsGoneAfterTheLastReader(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"Go", "Python"} { // The copy in TypeScript is not an SQLite file.
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			const marker = "marker-of-an-erased-ticket"
			h, s := newScript(t, programs[language](t))
			h.startFollower(t)
			c := s.expectCall(t, "")
			c.send(t, inSnapshot("1", "a", 1), inSnapshot("2", marker, 1), heartbeat("3", false), changed("4", marker, 2))
			h.expectCopy(t, "a1 "+marker+"2")

			reader, err := sql.Open("sqlite", "file:"+h.path("copy")+"?_pragma=busy_timeout(5000)")
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
			if !h.filesHave(t, marker) {
				t.Error("the log was truncated during a read, or this test does not find the ticket")
			}
			if err := reading.Rollback(); err != nil {
				t.Fatal(err)
			}
			c.send(t, heartbeat("6", false))
			eventually(t, func() error {
				if h.filesHave(t, marker) {
					return errors.New("the files of the copy still have the erased ticket")
				}
				return nil
			})
			stop(t, h.follower)
		})
	}
}

func TestFollow_addressOfIPv6(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h, s := newScriptAt(t, "[::1]:0", program)
		h.startFollower(t)
		s.expectCall(t, "").send(t, inSnapshot("1", "a", 1))
		h.expectCopy(t, "a1")
		stop(t, h.follower)
	})
}

// TestFollow_withoutARequiredToken calls a ticketsvc that has tokens, and sends none. The log names the option, not a refused token.
func TestFollow_withoutARequiredToken(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h, s := newScript(t, program)
		h.follower = mustStart(t, process.Command{Path: h.program[0], LogPath: h.path("follower.log"),
			Args: append(slices.Clone(h.program[1:]), "--url", h.url, "--copy", h.path("copy"))})
		t.Cleanup(h.follower.Kill)
		s.expectCall(t, "").end(t, connect.CodeUnauthenticated)
		h.expectLog(t, "--token-file", 1)
		s.expectCall(t, "").send(t, inSnapshot("1", "a", 1))
		h.expectCopy(t, "a1")
		if log := h.log(t); strings.Contains(log, "refuses") {
			t.Errorf("the log has a refused token, but no token was sent:\n%s", log)
		}
		stop(t, h.follower)
	})
}

func TestUsage_wrongOptions(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h := &harness{folder: t.TempDir(), program: program}
		expectRefused := func(fixes []string, args ...string) {
			printed, message, err := h.ask(t, args...)
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 2 || printed != "" {
				t.Errorf("%q: %v, %q; want exit status 2", args, err, printed)
			}
			for _, fix := range fixes {
				if !strings.Contains(message, fix) {
					t.Errorf("%q: message %q, want one with %s", args, message, fix)
				}
			}
		}
		for _, url := range []string{"localhost:9090", "127.0.0.1:9090", "ftp://localhost:9090", "http://"} {
			expectRefused([]string{"--url", "http://127.0.0.1:9090"}, "--url", url)
		}
		expectRefused([]string{"--get", "id"}, "--get", "")
		expectRefused([]string{"no-such-option"}, "--no-such-option")
	})
}

func TestUsage_help(t *testing.T) {
	commands := map[string]string{"Go": "go run ./clients/go", "TypeScript": "node clients/typescript/dist/src/main.js",
		"Python": "follow_tickets.py"}
	eachClient(t, func(t *testing.T, program []string) {
		h := &harness{folder: t.TempDir(), program: program}
		printed, message, err := h.ask(t, "--help")
		if err != nil {
			t.Error(err)
		}
		for _, want := range []string{commands[filepath.Base(t.Name())], "in sync with ticketsvc", "-token-file", "-list"} {
			if !strings.Contains(printed+message, want) {
				t.Errorf("the help lacks %q:\n%s", want, printed+message)
			}
		}
		if strings.Contains(printed+message, filepath.Dir(program[0])+"/") && filepath.Base(t.Name()) == "Go" {
			t.Errorf("the help has the path of the binary:\n%s", printed+message)
		}
	})
}

// TestFollow_logsEachChange expects a line for each change and for an erasure, and none for a ticket of the snapshot.
func TestFollow_logsEachChange(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h, s := newScript(t, program)
		h.startFollower(t)
		s.expectCall(t, "").send(t, inSnapshot("1", "first", 1), heartbeat("2", false), changed("3", "second", 1), erased("4", "third"))
		h.expectLog(t, "ticket changed", 1)
		h.expectLog(t, "ticket removed", 1)
		log := h.log(t)
		if !strings.Contains(log, "second") || !strings.Contains(log, "third") || !strings.Contains(log, "ERASED") ||
			strings.Contains(log, "first\"") || strings.Contains(log, "'first'") {
			t.Errorf("the log does not have exactly the changed and the removed ticket:\n%s", log)
		}
		stop(t, h.follower)
	})
}

// TestPython_withoutGeneratedCode runs the client from a folder without the code that make client-python generates.
func TestPython_withoutGeneratedCode(t *testing.T) {
	t.Parallel()
	program := programs["Python"](t)
	source, err := os.ReadFile(program[1])
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{folder: t.TempDir()}
	h.program = []string{program[0], h.path("follow_tickets.py")}
	mustWrite(t, h.program[1], string(source))
	if _, message, err := h.ask(t, "--help"); err == nil || !strings.Contains(message, "make client-python") ||
		strings.Contains(message, "Traceback") {
		t.Errorf("error %v with the message %q, want one line with make client-python", err, message)
	}
}

func TestFollow_endsASilentStream(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h, s := newScript(t, program)
		h.startFollower(t, "--silence", "2")
		s.expectCall(t, "").send(t, heartbeat("1", false))
		s.expectCall(t, "1").send(t, inSnapshot("2", "a", 1))
		h.expectCopy(t, "a1")
		h.expectLog(t, "no message for 2", 1)
		stop(t, h.follower)
	})
}

// TestFollow_retriesAnUnreadableToken has token files without a token. The client neither exits nor calls without a token.
func TestFollow_retriesAnUnreadableToken(t *testing.T) {
	eachClient(t, func(t *testing.T, program []string) {
		h, s := newScript(t, program)
		if err := os.Remove(h.path("token")); err != nil {
			t.Fatal(err)
		}
		h.startFollower(t)
		h.expectLog(t, h.path("token"), 1)
		if log := strings.ToLower(h.log(t)); !strings.Contains(log, "the token can't be read") || !strings.Contains(log, "no such file") {
			t.Errorf("the log lacks the reason why the token can't be read:\n%s", log)
		}
		for _, content := range []string{"", readerToken + "\n" + readerToken} {
			mustWrite(t, h.path("token"), content)
			h.expectLog(t, "has no token", strings.Count(h.log(t), "has no token")+1)
		}
		mustWrite(t, h.path("token"), readerToken+"\n")
		c := s.expectCall(t, "")
		if want := "Bearer " + readerToken; c.authorization != want {
			t.Errorf("the client sends %q, want %q", c.authorization, want)
		}
		if log := h.log(t); strings.Contains(log, "refuses") || strings.Contains(log, readerToken) {
			t.Errorf("the log has a refusal of the token, or the token:\n%s", log)
		}
		stop(t, h.follower)
	})
}
