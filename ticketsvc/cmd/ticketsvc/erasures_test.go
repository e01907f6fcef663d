package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

// execute runs a command, and returns its exit code and its output.
func execute(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errors bytes.Buffer
	code = run(ctx, args, environment(nil), &out, &errors)
	return code, out.String(), errors.String()
}

func client(r running) ticketv1connect.TicketServiceClient {
	return ticketv1connect.NewTicketServiceClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, r.rpc)
}

// newDatabases returns the URLs of two databases of each engine.
var newDatabases = map[string]func(t *testing.T) (first, second string){
	"SQLite": func(t *testing.T) (first, second string) {
		folder := t.TempDir()
		return "sqlite:" + filepath.Join(folder, "first.db"), "sqlite:" + filepath.Join(folder, "second.db")
	},
	"PostgreSQL": func(t *testing.T) (first, second string) { return postgresql.Database(t), postgresql.Database(t) },
}

// TestErasures_exportAndImport erases tickets with usual and odd ids, exports them while the service runs, and imports them into a database
// that has some of these tickets. The service rejects events with odd ids, so such a ticket is erased ahead of its events. An earlier
// version has recorded such events.
func TestErasures_exportAndImport(t *testing.T) {
	t.Parallel()
	usual := []string{"t1", "two words", `"quoted"`}
	erased := append(slices.Clone(usual), "line\nbreak", " space", "ü\u202e", "nul\x00", "ahead")
	for name, databases := range newDatabases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := databases(t)
			file := filepath.Join(t.TempDir(), "erased")
			r := mustRun(t, "--database-url="+first)
			for _, id := range erased {
				if _, err := client(r).EraseTicket(t.Context(), &ticketv1.EraseTicketRequest{TicketId: id}); err != nil {
					t.Fatal(err)
				}
			}
			code, stdout, stderr := execute(t.Context(), "erasures", "export", "--database-url="+first, file)
			if code != settings.ExitOK || stderr != "" || !strings.HasSuffix(stdout, " are exported to "+file+": 8\n") {
				t.Errorf("export: status %d, output %q, errors %q", code, stdout, stderr)
			}
			want := "t1\ntwo words\n\"\\\"quoted\\\"\"\n\"line\\nbreak\"\n\" space\"\n\"ü\u202e\"\n\"nul\\u0000\"\nahead\n"
			list, err := os.ReadFile(file)
			if diff := cmp.Diff(want, string(list)); err != nil || diff != "" {
				t.Errorf("the list, %v: want (-), got (+):\n%s", err, diff)
			}
			for _, to := range [][]string{nil, {"-"}} {
				code, stdout, stderr := execute(t.Context(), append([]string{"erasures", "export", "--database-url=" + first}, to...)...)
				if code != settings.ExitOK || stdout != want || stderr != "" {
					t.Errorf("printed, argument %q: status %d, output %q, errors %q; want the list alone", to, code, stdout, stderr)
				}
			}
			r.stop()

			r = mustRun(t, "--database-url="+second)
			for _, id := range append([]string{"kept"}, usual...) {
				if err := record(t, r, id); err != nil {
					t.Fatal(err)
				}
			}
			isShared := name == "PostgreSQL"
			if !isShared {
				code, _, stderr := execute(t.Context(), "erasures", "import", "--database-url="+second, file)
				if code != settings.ExitFailure || !strings.Contains(stderr, "in use by another process: stop that one") {
					t.Errorf("import while the service has the file: status %d, errors %q; want the advice to stop it", code, stderr)
				}
				r.stop()
			}
			for range 2 {
				code, stdout, stderr := execute(t.Context(), "erasures", "import", "--database-url="+second, file)
				if code != settings.ExitOK || stderr != "" || !strings.HasPrefix(stdout, "the tickets of "+file+" are erased in ") ||
					!strings.HasSuffix(stdout, ": 8\n") {
					t.Errorf("import: status %d, output %q, errors %q", code, stdout, stderr)
				}
			}
			if !isShared {
				r = mustRun(t, "--database-url="+second)
			}
			for _, id := range usual {
				if got, err := client(r).GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: id}); connect.CodeOf(err) != connect.CodeNotFound {
					t.Errorf("ticket %q after the import: %v, %v; want NOT_FOUND", id, got, err)
				}
			}
			if _, again, _ := execute(t.Context(), "erasures", "export", "--database-url="+second); again != want {
				t.Errorf("the list of the second database is %q, want the same", again)
			}
			if _, err := client(r).GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "kept"}); err != nil {
				t.Errorf("a ticket that is not in the list: %v", err)
			}
			r.stop()
		})
	}
}

func TestErasures_refusals(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := "--database-url=sqlite:" + filepath.Join(folder, "tickets.db")
	r := mustRun(t, database)
	if err := record(t, r, "t1"); err != nil {
		t.Fatal(err)
	}
	r.stop()
	noDatabase := "--database-url=sqlite:" + filepath.Join(folder, "no.db")
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	for name, test := range map[string]struct {
		ctx   context.Context
		args  []string
		code  int
		wants string
	}{
		"a file that exists": {t.Context(), []string{"export", database, in("exists", "kept")}, settings.ExitFailure,
			"exists already: name a new file"},
		"a folder that is not": {t.Context(), []string{"export", database, filepath.Join(folder, "no", "file")}, settings.ExitFailure,
			"can be written"},
		"no database to export": {t.Context(), []string{"export", noDatabase}, settings.ExitFailure,
			"ticketsvc: database can't be used: there is no database"},
		"something else to export": {t.Context(), []string{"export", "--database-url=sqlite:" + in("other.db", "no database")},
			settings.ExitFailure, "is it ticketsvc's database?"},
		"an export that is interrupted": {interrupted, []string{"export", database, filepath.Join(folder, "cut")}, settings.ExitFailure,
			"the export was interrupted: start it again"},
		"a database URL that is none": {t.Context(), []string{"export", "--database-url=tickets.db"}, settings.ExitSettings,
			"--database-url / TICKETSVC_DATABASE_URL: is not of the form"},
		"an unknown flag": {t.Context(), []string{"import", "--nonsense", in("list2", "t1")}, settings.ExitSettings, "unknown flag"},
		"no database to import into": {t.Context(), []string{"import", noDatabase, in("list", "t1")}, settings.ExitFailure,
			"there is no database"},
		"no list": {t.Context(), []string{"import", database, filepath.Join(folder, "nothing")}, settings.ExitFailure,
			"the list can't be read"},
		"a list with a broken line": {t.Context(), []string{"import", database, in("broken", "t1\n\n\"x\n")}, settings.ExitFailure,
			"line 3 begins with a quote and is not a JSON string: correct it; nothing is erased"},
		"a list with a long id": {t.Context(), []string{"import", database, in("long", "t1\n"+strings.Repeat("x", 257))}, settings.ExitFailure,
			"line 2 is not the id of a ticket"},
	} {
		code, _, stderr := execute(test.ctx, append([]string{"erasures"}, test.args...)...)
		if code != test.code || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, test.wants) {
			t.Errorf("%s: status %d, errors %q; want %d and one line with %q", name, code, stderr, test.code, test.wants)
		}
	}
	for _, name := range []string{"no.db", "cut"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			t.Errorf("%s was left behind", name)
		}
	}
	if content, err := os.ReadFile(filepath.Join(folder, "exists")); err != nil || string(content) != "kept" {
		t.Errorf("the file that existed: %q, %v", content, err)
	}
	r = mustRun(t, database)
	if _, err := client(r).GetTicket(t.Context(), &ticketv1.GetTicketRequest{TicketId: "t1"}); err != nil {
		t.Errorf("the ticket of the lists that were refused: %v", err)
	}
	r.stop()
}

func TestParseErasures(t *testing.T) {
	t.Parallel()
	got, err := parseErasures("\ufefft1\r\n\r\n  t2 \r\n\"a\\nb\"\r\n#3\nlast")
	if diff := cmp.Diff([]string{"t1", "t2", "a\nb", "#3", "last"}, got); err != nil || diff != "" {
		t.Errorf("%v: want (-), got (+):\n%s", err, diff)
	}
}

func TestErasures_help(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"erasures", "export", "--help"}, environment(nil), &out, io.Discard); code != settings.ExitOK ||
		!strings.Contains(out.String(), "$TICKETSVC_DATABASE_URL") {
		t.Errorf("status %d, help %q", code, out.String())
	}
}
