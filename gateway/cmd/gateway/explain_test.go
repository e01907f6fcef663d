package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/testkit/samples"
)

// TestExplain calls the command as an integrator does, without any setting of a server.
func TestExplain(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	created, err := samples.Files.ReadFile("created-full.json")
	if err != nil {
		t.Fatal(err)
	}
	unexpected, err := samples.Files.ReadFile("unexpected-event.json")
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, content []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, rejected := file("created.json", created), file("unexpected.json", unexpected)
	dead := file("dead.json", []byte(`{"event":{"id":"e","name":"ticket.created","data":{"id":"t"}}}`))
	missing := filepath.Join(folder, "missing.json")
	for name, test := range map[string]struct {
		args           []string
		env            string
		code           int
		stdout, stderr string // what each contains; "" for nothing at all
	}{
		"a file":             {[]string{good}, "", settings.ExitOK, "created.json: forwarded\n", ""},
		"standard input":     {[]string{"-"}, "", settings.ExitOK, "-: forwarded\n", ""},
		"JSON":               {[]string{"--json", good}, "", settings.ExitOK, `"outcome":"forwarded"`, ""},
		"a dead one":         {[]string{good, dead}, "", settings.ExitFailure, "dead.json: dead: no usable event time", "not every event"},
		"a rejected one":     {[]string{rejected}, "", settings.ExitFailure, "unexpected.json: rejected: event.name is unexpected", "not every"},
		"the server's limit": {[]string{good}, "GATEWAY_MAX_BODY_BYTES=100", settings.ExitFailure, "413 Body is too large", "not every event"},
		"a missing file":     {[]string{missing, good}, "", settings.ExitSettings, "", "missing.json can't be read: no such file"},
		"no file":            {nil, "", settings.ExitSettings, "", "<file>"},
		"a wrong limit":      {[]string{"--max-body-bytes=0", good}, "", settings.ExitSettings, "", "--max-body-bytes / GATEWAY_MAX_BODY_BYTES"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), append([]string{"explain"}, test.args...), []string{test.env}, bytes.NewReader(created), &stdout, &stderr)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			for _, output := range []struct{ got, want string }{{stdout.String(), test.stdout}, {stderr.String(), test.stderr}} {
				if !strings.Contains(output.got, output.want) || (output.got == "") != (output.want == "") {
					t.Errorf("output %q, want %q in it", output.got, output.want)
				}
			}
		})
	}
}

// TestExplain_ends waits for a body that is never sent, as at a terminal, until the command must end.
func TestExplain_ends(t *testing.T) {
	t.Parallel()
	stdin, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = writer.Write([]byte("{")) // returns when it is read
		cancel()
	}()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"explain", "-"}, nil, stdin, &stdout, &stderr)
	if code != settings.ExitSettings || stdout.Len() > 0 || !strings.Contains(stderr.String(), "- can't be read") {
		t.Errorf("exit code %d, output %q, errors %q", code, stdout.String(), stderr.String())
	}
}
