package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/postgrestest"
	"github.com/ticketbridge/ticketbridge/internal/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

// env returns a LookupEnv over pairs NAME=value, with settings that work and clash with nobody's before them.
func env(t *testing.T, pairs ...string) func(string) (string, bool) {
	t.Helper()
	values := map[string]string{
		"GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0", "GATEWAY_WEBHOOK_SECRET": "secret",
		"GATEWAY_DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "gateway.db"), "GATEWAY_TICKETSVC_URL": "http://127.0.0.1:1",
	}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

func TestWrongSettingsStopItAtOnce(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	if err := os.WriteFile(in("file"), nil, 0o600); err != nil {
		t.Fatal(err)
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
		want    []string // what the line says: the setting in both forms, and the mend
	}{
		"no secret":          {"GATEWAY_WEBHOOK_SECRET=", []string{"--webhook-secret / GATEWAY_WEBHOOK_SECRET", "set it to"}},
		"a secret of commas": {"GATEWAY_WEBHOOK_SECRET= , ,", []string{"--webhook-secret / GATEWAY_WEBHOOK_SECRET", "set it to"}},
		"a secret file that is missing": {"GATEWAY_WEBHOOK_SECRET_FILE=" + in("missing"),
			[]string{"--webhook-secret-file / GATEWAY_WEBHOOK_SECRET_FILE", "name a file"}},
		"a URL without a host": {"GATEWAY_TICKETSVC_URL=ticketsvc",
			[]string{"--ticketsvc-url / GATEWAY_TICKETSVC_URL", "http://127.0.0.1:9090"}},
		"a URL of another scheme": {"GATEWAY_TICKETSVC_URL=ftp://127.0.0.1",
			[]string{"--ticketsvc-url / GATEWAY_TICKETSVC_URL", "http://127.0.0.1:9090"}},
		"a token that is short": {"GATEWAY_TICKETSVC_TOKEN=hush", []string{"--ticketsvc-token / GATEWAY_TICKETSVC_TOKEN", "use 16"}},
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
		"a tolerance of nothing": {"GATEWAY_TIMESTAMP_TOLERANCE=0s",
			[]string{"--timestamp-tolerance / GATEWAY_TIMESTAMP_TOLERANCE", "use more than 0"}},
		"a tolerance that is no duration": {"GATEWAY_TIMESTAMP_TOLERANCE=2", []string{"--timestamp-tolerance", "--help"}},
		"a body of nothing":               {"GATEWAY_MAX_BODY_BYTES=0", []string{"--max-body-bytes / GATEWAY_MAX_BODY_BYTES", "use 1 to"}},
		"an unknown word":                 {"GATEWAY_UNSIGNED=ignore", []string{"--unsigned", "acknowledge", "reject"}},
		"no calls at all": {"GATEWAY_FORWARD_CONCURRENCY=0",
			[]string{"--forward-concurrency / GATEWAY_FORWARD_CONCURRENCY", "use 1 to"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // should it start after all
			defer cancel()
			var stderr bytes.Buffer
			if code := run(ctx, nil, env(t, test.setting), io.Discard, &stderr); code != settings.ExitSettings {
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

func TestAllWrongSettingsAreNamedTogether(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"--webhook-path=x", "--ticketsvc-token=0123456789abcdef", "--ticketsvc-token-file=as-well"},
		env(t, "GATEWAY_WEBHOOK_SECRET=", "GATEWAY_MAX_ATTEMPTS=0"), io.Discard, &stderr)
	if code != settings.ExitSettings || strings.Count(stderr.String(), "\n") != 4 {
		t.Errorf("exit code %d and output\n%s\nwant %d and a line for each of four settings", code, stderr.String(), settings.ExitSettings)
	}
}

func TestATokenThatCrossesANetworkReadablyIsWarnedOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{"http://127.0.0.1:1": false, "http://localhost:1": false, "http://[::1]:1": false,
		"https://ticketsvc.test": false, "http://ticketsvc.test": true, "http://192.0.2.1:9090": true, "http://[2001:db8::1]": true} {
		parsed, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := isReadable(parsed); got != want {
			t.Errorf("what is sent to %s is readable: %v, want %v", address, got, want)
		}
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, env(t), &stdout, &stderr); code != settings.ExitOK || stderr.Len() != 0 {
		t.Errorf("exit code %d, errors %q", code, stderr.String())
	}
	for _, setting := range []string{"listen", "webhook-path", "admin-listen", "database-url", "ticketsvc-url", "ticketsvc-token",
		"ticketsvc-token-file", "ticketsvc-ca-file", "webhook-secret", "webhook-secret-file", "timestamp-tolerance", "max-body-bytes", "unsigned",
		"unexpected", "signature-header"} {
		variable := "$GATEWAY_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
		if !strings.Contains(stdout.String(), "--"+setting) || !strings.Contains(stdout.String(), variable) {
			t.Errorf("help lacks --%s or %s", setting, variable)
		}
	}
}

// A gateway whose context ends stops by itself, with status 0, and lets go of its database and addresses.
func TestItStopsCleanly(t *testing.T) {
	t.Parallel()
	lookup := env(t)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		output, stderr := io.Pipe()
		code := make(chan int, 1)
		go func() {
			code <- run(ctx, nil, lookup, io.Discard, stderr)
			_ = stderr.Close()
		}()
		log := readUntil(t, output, regexp.MustCompile(`gateway is ready.*webhook=http://127\.0\.0\.1:\d+/webhook`))
		go func() { _, _ = io.Copy(io.Discard, output) }()
		cancel()
		select {
		case got := <-code:
			if got != settings.ExitOK {
				t.Errorf("exit code %d; log:\n%s", got, log)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it did not stop")
		}
	}
}

// readUntil reads until what was read matches.
func readUntil(t *testing.T, r io.Reader, pattern *regexp.Regexp) string {
	t.Helper()
	var read bytes.Buffer
	buffer := make([]byte, 4096)
	for !pattern.Match(read.Bytes()) {
		n, err := r.Read(buffer)
		read.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v after:\n%s", err, read.String())
		}
	}
	return read.String()
}
