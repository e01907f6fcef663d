package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver answers like the documented endpoint, and keeps the bodies whose signature is right.
type receiver struct {
	mu     sync.Mutex
	bodies []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	if request.Header.Get(simulator.SignatureHeader) != simulator.Sign("s3cret", body) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, string(body))
	if bytes.Contains(body, []byte("booking.created")) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"message":"Unexpected event type"}`)
		return
	}
	_, _ = io.WriteString(w, `{"message":"success"}`)
}

func mustServe(t *testing.T) (*receiver, string) {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

// call runs the program with only these environment variables.
func call(ctx context.Context, env map[string]string, args ...string) (status int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	lookup := func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
	status = run(ctx, args, lookup, &out, &errOut)
	return status, out.String(), errOut.String()
}

func mustWrite(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun_generatedEventsRepeatForASeed(t *testing.T) {
	t.Parallel()
	r, url := mustServe(t)
	args := []string{"--events", "20", "--seed", "3", "--url", url, "--shuffle", "--duplicates", "0.5"}
	env := map[string]string{"SIMULATOR_SECRET": "s3cret", "SIMULATOR_CONCURRENCY": "4"}
	status, stdout, stderr := call(t.Context(), env, args...)
	if status != 0 || !strings.Contains(stdout, "acknowledged           20\n") || !strings.Contains(stdout, "seed 3 ") {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	first := r.bodies
	r.bodies = nil
	if status, _, stderr := call(t.Context(), env, args...); status != 0 {
		t.Fatal(stderr)
	}
	if diff := cmp.Diff(first, r.bodies, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Error(diff)
	}
}

func TestRun_filesShowTheirAnswers(t *testing.T) {
	t.Parallel()
	r, url := mustServe(t)
	good, refused := mustWrite(t, "good.json", "{ \"event\": 1 }\n"), mustWrite(t, "refused.json", `{"event":{"name":"booking.created"}}`)
	status, stdout, stderr := call(t.Context(), nil, "--secret", "s3cret", "--url", url, good, refused)
	if status != 1 {
		t.Errorf("status %d, want 1: %s", status, stderr)
	}
	for _, want := range []string{"good.json     200  success\n", "refused.json  400  Unexpected event type\n", "retries                0\n"} {
		// The folders of the two files are equally long.
		if !strings.Contains(stdout, want) {
			t.Errorf("output lacks %q:\n%s", want, stdout)
		}
	}
	if diff := cmp.Diff([]string{"{ \"event\": 1 }\n", `{"event":{"name":"booking.created"}}`}, r.bodies,
		cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Error(diff)
	}
}

func TestFindSecret(t *testing.T) {
	t.Parallel()
	_, url := mustServe(t)
	file := mustWrite(t, "secret", "\n  s3cret\nother\n")
	const app = "82662ee4-0080-4960-8b8f-d7693e6ff3e4"
	ofApp := mustWrite(t, "secret-of-app", app+"=s3cret\n")
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		want int
	}{
		"in a file":                     {nil, []string{"--secret-file", file}, 0},
		"in the gateway's variable":     {map[string]string{"GATEWAY_WEBHOOK_SECRET": "s3cret,old"}, nil, 0},
		"own variable goes first":       {map[string]string{"SIMULATOR_SECRET": "s3cret", "GATEWAY_WEBHOOK_SECRET": "x"}, nil, 0},
		"argument goes before variable": {map[string]string{"SIMULATOR_SECRET": "x"}, []string{"--secret", "s3cret"}, 0},
		"of one App":                    {nil, []string{"--secret-file", ofApp}, 0},
		"of one App, in the variable":   {map[string]string{"GATEWAY_WEBHOOK_SECRET": "5f0c1e2d3b4a596877660101=s3cret"}, nil, 0},
		"of one App, as argument":       {nil, []string{"--secret", app + "=s3cret", "--give-up-after", "1ms"}, 0},
		"of one App, in own variable":   {map[string]string{"SIMULATOR_SECRET": app + "=s3cret"}, []string{"--give-up-after", "1ms"}, 0},
		"file variable":                 {map[string]string{"SIMULATOR_SECRET_FILE": file}, nil, 0},
		"wrong":                         {nil, []string{"--secret", "x", "--give-up-after", "1ms"}, 1},
		"none":                          {nil, nil, 2},
		"two":                           {nil, []string{"--secret", "x", "--secret-file", file}, 2},
		"missing file":                  {nil, []string{"--secret-file", file + ".missing"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := call(t.Context(), test.env, append(test.args, "--events", "1", "--url", url)...)
			if status != test.want {
				t.Errorf("status %d, want %d\n%s%s", status, test.want, stdout, stderr)
			}
		})
	}
}

func TestRun_wrongUsage(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"unknown flag":   {"--evnets", "1"},
		"not a number":   {"--rate", "fast"},
		"not a share":    {"--duplicates", "10"},
		"negative":       {"--events", "-1"},
		"not an address": {"--url", "localhost:8080"},
		"burst alone":    {"--burst", "10"},
		"no such file":   {filepath.Join(t.TempDir(), "missing.json")},
	} {
		status, stdout, stderr := call(t.Context(), map[string]string{"SIMULATOR_SECRET": "x"}, args...)
		if status != 2 || stderr == "" || stdout != "" {
			t.Errorf("%s: status %d, want 2 and a reason\n%s%s", name, status, stdout, stderr)
		}
	}
}

func TestRun_reportsAFailureOnce(t *testing.T) {
	t.Parallel()
	_, url := mustServe(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, test := range []struct{ url, want string }{
		{gone.URL, gone.URL},
		{url, "401 (reported once): set --secret or --secret-file"},
	} {
		status, stdout, stderr := call(t.Context(), nil, "--secret", "x", "--events", "3", "--give-up-after", "1ms", "--url", test.url)
		if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, test.want) {
			t.Errorf("status %d, want 1 and one line with %q:\n%s%s", status, test.want, stdout, stderr)
		}
	}
}

func TestRun_help(t *testing.T) {
	t.Parallel()
	status, stdout, _ := call(t.Context(), nil, "--help")
	for _, want := range []string{"Examples:", "--give-up-after", "[$SIMULATOR_GIVE_UP_AFTER]", "--url=http://127.0.0.1:8080/webhook",
		"exit status"} {
		if status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("status %d, help lacks %q:\n%s", status, want, stdout)
		}
	}
}

func TestRun_cancelledPrintsTheSummary(t *testing.T) {
	t.Parallel()
	_, url := mustServe(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	status, stdout, stderr := call(ctx, nil, "--secret", "s3cret", "--url", url)
	if status != 1 || !strings.Contains(stdout, "events") || !strings.Contains(stderr, "canceled") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
}
