package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/gateway/internal/inbox"
	"github.com/ticketbridge/ticketbridge/internal/settings"
	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgresql.Main(m)) }

const testSecret = "a-secret-of-the-tests"

// env returns an environment with working settings, with addresses that nobody else uses. The pairs NAME=value replace or add settings.
func env(t *testing.T, pairs ...string) []string {
	t.Helper()
	return append([]string{"GATEWAY_LISTEN=127.0.0.1:0", "GATEWAY_ADMIN_LISTEN=127.0.0.1:0", "GATEWAY_WEBHOOK_SECRET=" + testSecret,
		"GATEWAY_DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "gateway.db"), "GATEWAY_TICKETSVC_URL=http://127.0.0.1:1"}, pairs...)
}

func TestRun_wrongSettings(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	for name, content := range map[string]string{
		"file": "", "short": "\n" + testSecret + "\nhush\n", "large": strings.Repeat("hush", 1<<18) + "\n",
		"utf16": "\xff\xfeh\x00u\x00s\x00h\x00-\x00h\x00u\x00s\x00h\x00-\x00h\x00u\x00s\x00h\x00",
	} {
		if err := os.WriteFile(in(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	newer, err := sql.Open("sqlite", in("newer.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newer.Exec(fmt.Sprintf("CREATE TABLE t (x); PRAGMA user_version = 99; PRAGMA application_id = %d", 0x54426777)); err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		setting string
		want    []string // what the line contains: the setting in both forms, and the fix
	}{
		"no secret":          {"GATEWAY_WEBHOOK_SECRET=", []string{"--webhook-secret / GATEWAY_WEBHOOK_SECRET", "set it to"}},
		"a secret of commas": {"GATEWAY_WEBHOOK_SECRET= , ,", []string{"--webhook-secret / GATEWAY_WEBHOOK_SECRET", "set it to"}},
		"a secret file that is missing": {"GATEWAY_WEBHOOK_SECRET_FILE=" + in("missing"),
			[]string{"--webhook-secret-file / GATEWAY_WEBHOOK_SECRET_FILE", "name a file"}},
		"a URL without a host": {"GATEWAY_TICKETSVC_URL=ticketsvc",
			[]string{"--ticketsvc-url / GATEWAY_TICKETSVC_URL", "http://127.0.0.1:9090"}},
		"a URL of another scheme": {"GATEWAY_TICKETSVC_URL=ftp://127.0.0.1",
			[]string{"--ticketsvc-url / GATEWAY_TICKETSVC_URL", "http://127.0.0.1:9090"}},
		"a variable that is mistyped": {"GATEWAY_LOG_LEVL=debug", []string{"GATEWAY_LOG_LEVL is not a setting", "gateway --help"}},
		"a level that is none":        {"GATEWAY_LOG_LEVEL=verbose", []string{"--log-level / GATEWAY_LOG_LEVEL", "use debug"}},
		"a token that is short":       {"GATEWAY_TICKETSVC_TOKEN=hush", []string{"--ticketsvc-token / GATEWAY_TICKETSVC_TOKEN", "use 16"}},
		"a token with its scope": {"GATEWAY_TICKETSVC_TOKEN=ingest=hush-hush-hush-hush",
			[]string{"--ticketsvc-token / GATEWAY_TICKETSVC_TOKEN", "the token alone"}},
		"a token file that is missing": {"GATEWAY_TICKETSVC_TOKEN_FILE=" + in("missing"),
			[]string{"--ticketsvc-token-file / GATEWAY_TICKETSVC_TOKEN_FILE", "name a file"}},
		"a token file without a token": {"GATEWAY_TICKETSVC_TOKEN_FILE=" + in("file"),
			[]string{"--ticketsvc-token-file / GATEWAY_TICKETSVC_TOKEN_FILE", "has 0 bytes"}},
		"authorities that are none": {"GATEWAY_TICKETSVC_CA_FILE=" + in("file"),
			[]string{"--ticketsvc-ca-file / GATEWAY_TICKETSVC_CA_FILE", "name a PEM file"}},
		"a database of another kind": {"GATEWAY_DATABASE_URL=mysql://x", []string{"--database-url / GATEWAY_DATABASE_URL", "sqlite:<path>"}},
		"a database's URL that is none": {"GATEWAY_DATABASE_URL=postgres://x:y",
			[]string{"--database-url / GATEWAY_DATABASE_URL", "postgres://user"}},
		"a database of a newer schema": {"GATEWAY_DATABASE_URL=sqlite:" + in("newer.db"),
			[]string{"--database-url / GATEWAY_DATABASE_URL", "run a newer binary"}},
		"a folder that can't be written": {"GATEWAY_DATABASE_URL=sqlite:" + in("file/gateway.db"),
			[]string{"--database-url / GATEWAY_DATABASE_URL", "name a path in a folder that can be written"}},
		"an address in use": {"GATEWAY_LISTEN=" + taken.Addr().String(), []string{"--listen / GATEWAY_LISTEN", "that is free"}},
		"an admin address in use": {"GATEWAY_ADMIN_LISTEN=" + taken.Addr().String(),
			[]string{"--admin-listen / GATEWAY_ADMIN_LISTEN", "that is free"}},
		"an admin address for the public": {"GATEWAY_ADMIN_LISTEN=0.0.0.0:8081",
			[]string{"--admin-listen / GATEWAY_ADMIN_LISTEN", "use a loopback address"}},
		"a path that is none": {"GATEWAY_WEBHOOK_PATH=webhook", []string{"--webhook-path / GATEWAY_WEBHOOK_PATH", "begins with /"}},
		"a header name that is none": {"GATEWAY_SIGNATURE_HEADER=x signature",
			[]string{"--signature-header / GATEWAY_SIGNATURE_HEADER", "use letters"}},
		"an empty header name among others": {"GATEWAY_SIGNATURE_HEADER=signature,,other",
			[]string{"--signature-header / GATEWAY_SIGNATURE_HEADER", "use letters"}},
		"no header name": {"GATEWAY_SIGNATURE_HEADER=", []string{"--signature-header / GATEWAY_SIGNATURE_HEADER", "name the header"}},
		"a negative tolerance": {"GATEWAY_TIMESTAMP_TOLERANCE=-1ms",
			[]string{"--timestamp-tolerance / GATEWAY_TIMESTAMP_TOLERANCE", "use 0, which switches the check off"}},
		"fewer connections than none": {"GATEWAY_MAX_CONNECTIONS=-1",
			[]string{"--max-connections / GATEWAY_MAX_CONNECTIONS", "use 1 to", "ulimit -n"}},
		"no idle timeout": {"GATEWAY_IDLE_TIMEOUT=0s", []string{"--idle-timeout / GATEWAY_IDLE_TIMEOUT", "use more than 0"}},
		"a secret that is short": {"GATEWAY_WEBHOOK_SECRET=" + testSecret + ",hush-hush-hush1",
			[]string{"--webhook-secret / GATEWAY_WEBHOOK_SECRET", "entry 2 has 15 bytes", "at least 16", "--webhook-secret-min-length"}},
		"a secret file with a short secret": {"GATEWAY_WEBHOOK_SECRET_FILE=" + in("short"),
			[]string{"--webhook-secret-file / GATEWAY_WEBHOOK_SECRET_FILE", "entry 3 has 4 bytes", "--webhook-secret-min-length"}},
		"a secret file in UTF-16": {"GATEWAY_WEBHOOK_SECRET_FILE=" + in("utf16"),
			[]string{"--webhook-secret-file / GATEWAY_WEBHOOK_SECRET_FILE", "UTF-8"}},
		"a secret file that is something else": {"GATEWAY_WEBHOOK_SECRET_FILE=" + in("large"),
			[]string{"--webhook-secret-file / GATEWAY_WEBHOOK_SECRET_FILE", "more than 1048576 bytes"}},
		"more secrets than anybody has": {"GATEWAY_WEBHOOK_SECRET=" + strings.Repeat("hush-hush-hush-hush,", 65),
			[]string{"--webhook-secret / GATEWAY_WEBHOOK_SECRET", "at most 64"}},
		"no least length of secrets": {"GATEWAY_WEBHOOK_SECRET_MIN_LENGTH=0",
			[]string{"--webhook-secret-min-length / GATEWAY_WEBHOOK_SECRET_MIN_LENGTH", "use 1 to"}},
		"a tolerance that is no duration": {"GATEWAY_TIMESTAMP_TOLERANCE=2", []string{"--timestamp-tolerance", "--help"}},
		"a future of less than nothing": {"GATEWAY_FUTURE_TOLERANCE=-1s",
			[]string{"--future-tolerance / GATEWAY_FUTURE_TOLERANCE", "use 0"}},
		"a body of nothing": {"GATEWAY_MAX_BODY_BYTES=0", []string{"--max-body-bytes / GATEWAY_MAX_BODY_BYTES", "use 1 to"}},
		"an unknown word":   {"GATEWAY_UNSIGNED=ignore", []string{"--unsigned", "acknowledge", "reject"}},
		"no attempts at all": {"GATEWAY_MAX_ATTEMPTS=0",
			[]string{"--max-attempts / GATEWAY_MAX_ATTEMPTS", "use 1 to"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // in case it starts after all
			defer cancel()
			var stderr bytes.Buffer
			if code := run(ctx, nil, env(t, test.setting), nil, io.Discard, &stderr); code != settings.ExitSettings {
				t.Errorf("exit code %d, want %d", code, settings.ExitSettings)
			}
			line := stderr.String()
			if strings.Count(line, "\n") != 1 || !strings.HasPrefix(line, "gateway: ") {
				t.Errorf("output %q, want one line from the gateway", line)
			}
			if strings.Contains(line, "hush") {
				t.Errorf("output %q holds a token", line)
			}
			for _, want := range test.want {
				if !strings.Contains(line, want) {
					t.Errorf("output %q lacks %q", line, want)
				}
			}
		})
	}
}

func TestRun_namesAllWrongSettings(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"--webhook-path=x", "--ticketsvc-token=0123456789abcdef", "--ticketsvc-token-file=as-well"},
		env(t, "GATEWAY_WEBHOOK_SECRET=", "GATEWAY_MAX_ATTEMPTS=0"), nil, io.Discard, &stderr)
	if code != settings.ExitSettings || strings.Count(stderr.String(), "\n") != 4 {
		t.Errorf("exit code %d and output\n%s\nwant %d and a line for each of four settings", code, stderr.String(), settings.ExitSettings)
	}
}

func TestRun_warnsOfATokenInCleartext(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{"http://127.0.0.1:1": false, "http://localhost:1": false, "http://[::1]:1": false,
		"https://ticketsvc.test": false, "http://ticketsvc.test": true, "http://192.0.2.1:9090": true, "http://[2001:db8::1]": true} {
		parsed, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := isCleartext(parsed); got != want {
			t.Errorf("what is sent to %s is readable: %v, want %v", address, got, want)
		}
	}
}

func TestRun_helpNamesEverySetting(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, env(t), nil, &stdout, &stderr); code != settings.ExitOK || stderr.Len() != 0 {
		t.Errorf("exit code %d, errors %q", code, stderr.String())
	}
	for _, setting := range []string{"listen", "webhook-path", "admin-listen", "database-url", "ticketsvc-url", "ticketsvc-token",
		"ticketsvc-token-file", "ticketsvc-ca-file", "webhook-secret", "webhook-secret-file", "timestamp-tolerance", "max-body-bytes", "unsigned",
		"unexpected", "signature-header", "webhook-secret-min-length", "idle-timeout"} {
		variable := "$GATEWAY_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
		if !strings.Contains(stdout.String(), "--"+setting) || !strings.Contains(stdout.String(), variable) {
			t.Errorf("help lacks --%s or %s", setting, variable)
		}
	}
	if limit := fmt.Sprintf("Maximum size of a body, at most %d.", inbox.MaxBodyBytes); !strings.Contains(stdout.String(), limit) {
		t.Errorf("help lacks %q", limit)
	}
}

// post sends a body that is signed with secret, with or without a time, and returns the status.
func post(t *testing.T, url, secret, header, body string, time string) int {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(header, hex.EncodeToString(mac.Sum(nil)))
	if time != "" {
		request.Header.Set(header+"-timestamp", time)
	}
	request.Close = true
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

const created = `{"event":{"id":"e1","name":"ticket.created","createdDate":"2026-03-02T07:15:30.123Z","data":{"id":"t1"}}}`

// TestRun_secretsAreReadAgain rotates a secret without a restart: first both are valid, then only the new one. A file that can't be used
// changes nothing.
func TestRun_secretsAreReadAgain(t *testing.T) {
	const oldSecret, newSecret = "the-old-secret-of-the-tests", "the-new-secret-of-the-tests"
	const app = "82662ee4-0080-4960-8b8f-d7693e6ff3e4"
	file := filepath.Join(t.TempDir(), "secrets")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("\xef\xbb\xbf" + oldSecret + "\r\n")
	g := start(t, env(t, "GATEWAY_WEBHOOK_SECRET_FILE="+file))
	want := func(secret string, want int) {
		t.Helper()
		if got := post(t, g.url, secret, "x-allthings-signature", created, strconv.FormatInt(time.Now().UnixMilli(), 10)); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	readAgain := func(line string) {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		g.readUntil(t, regexp.MustCompile(line+`.*setting=--webhook-secret-file`))
	}
	want(oldSecret, 200)
	want(newSecret, 401)
	want(testSecret, 200) // The secret of --webhook-secret is valid too.
	write(newSecret + "\n" + oldSecret)
	readAgain("files were read again")
	want(oldSecret, 200)
	want(newSecret, 200)
	write(newSecret)
	readAgain("files were read again")
	want(oldSecret, 401)
	want(newSecret, 200)
	want(testSecret, 200)
	for _, bad := range []string{"hush", app + "=hush", newSecret + "\nhush", "h\x00u\x00s\x00h\x00"} {
		write(bad)
		readAgain("files can't be used: the previous ones stay in use")
		want(newSecret, 200)
	}
	write(app + "=" + newSecret)
	readAgain("files were read again")
	want(newSecret, 401) // The event names no App.
	if log := g.stop(t); strings.Contains(log, newSecret) || strings.Contains(log, "hush") {
		t.Errorf("the log holds a secret:\n%s", log)
	}
}

// TestRun_withoutTimestamps accepts signatures in GitHub's form, and logs at the start which protection is left.
func TestRun_withoutTimestamps(t *testing.T) {
	t.Parallel()
	g := start(t, env(t, "GATEWAY_TIMESTAMP_TOLERANCE=0", "GATEWAY_SIGNATURE_HEADER=x-hub-signature-256, signature"))
	for _, header := range []string{"x-hub-signature-256", "signature"} {
		if got := post(t, g.url, testSecret, header, created, ""); got != 200 {
			t.Errorf("%s: status %d, want 200", header, got)
		}
	}
	if log := g.stop(t); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "only de-duplication by event id protects") {
		t.Errorf("the log does not say what protection is left:\n%s", log)
	}
}

func TestOptions_check_idleTimeout(t *testing.T) {
	t.Parallel()
	for pair, want := range map[string]time.Duration{"": 620 * time.Second, "GATEWAY_IDLE_TIMEOUT=30s": 30 * time.Second} {
		if got := newWebhookServer(nil, mustCheck(t, pair), slog.New(slog.DiscardHandler)).IdleTimeout; got != want {
			t.Errorf("connections stay open for %v, want %v", got, want)
		}
	}
}

func TestOptions_check_shortSecretsWhereTheyAreAllowed(t *testing.T) {
	t.Parallel()
	mustCheck(t, "GATEWAY_WEBHOOK_SECRET=hush", "GATEWAY_WEBHOOK_SECRET_MIN_LENGTH=4")
}

// mustCheck returns the settings for the pairs NAME=value.
func mustCheck(t *testing.T, pairs ...string) config {
	t.Helper()
	program := settings.Program{Name: "gateway", EnvPrefix: "GATEWAY", Environ: env(t, pairs...)}
	var line commandLine
	_, err := program.Parse(&line)
	if err != nil {
		t.Fatal(err)
	}
	c, err := line.Serve.check(program)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running is a running gateway.
type running struct {
	url    string
	cancel context.CancelFunc
	code   chan int

	mu      sync.Mutex
	changed sync.Cond
	log     []byte
	read    int
}

// start runs a gateway until it is ready.
func start(t *testing.T, environ []string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	g := &running{cancel: cancel, code: make(chan int, 1)}
	g.changed.L = &g.mu
	go func() { g.code <- run(ctx, nil, environ, nil, io.Discard, g) }()
	g.url = g.readUntil(t, regexp.MustCompile(`gateway is ready.*webhook=(http://127\.0\.0\.1:\d+/webhook)`))
	return g
}

// Write receives a line of the log.
func (g *running) Write(line []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.log = append(g.log, line...)
	g.changed.Broadcast()
	return len(line), nil
}

// readUntil waits until a part of the log that was not read before matches. It returns the last group of the match.
func (g *running) readUntil(t *testing.T, pattern *regexp.Regexp) string {
	t.Helper()
	expired := false
	timer := time.AfterFunc(20*time.Second, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		expired = true
		g.changed.Broadcast()
	})
	defer timer.Stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		if match := pattern.FindSubmatchIndex(g.log[g.read:]); match != nil {
			found := g.log[g.read+match[len(match)-2] : g.read+match[len(match)-1]]
			g.read += match[1]
			return string(found)
		}
		if expired {
			t.Fatalf("the log lacks %v after:\n%s", pattern, g.log)
		}
		g.changed.Wait()
	}
}

// stop ends the gateway, and returns all of its log.
func (g *running) stop(t *testing.T) string {
	t.Helper()
	g.cancel()
	if code := <-g.code; code != settings.ExitOK {
		t.Errorf("exit code %d", code)
	}
	return string(g.log)
}

// A gateway whose context ends stops by itself, with status 0, and releases its database and addresses.
func TestRun_stopsCleanly(t *testing.T) {
	t.Parallel()
	environ := env(t)
	for range 2 {
		start(t, environ).stop(t)
	}
}
