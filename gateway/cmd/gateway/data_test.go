package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/settings"
)

// deliver posts an event with this id, and returns the answer's status.
func (g *running) deliver(t *testing.T, eventID string) (status int) {
	t.Helper()
	return post(t, g.url, testSecret, "x-allthings-signature", strings.Replace(created, "e1", eventID, 1),
		strconv.FormatInt(time.Now().UnixMilli(), 10))
}

func readyz(t *testing.T, admin string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestServe_databaseRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	g := start(t, env(t, "GATEWAY_DATABASE_URL=sqlite:"+path))
	admin := g.readUntil(t, regexp.MustCompile(`admin=(\S+)`))
	if status := g.deliver(t, "e1"); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if status := g.deliver(t, "e2"); status != http.StatusServiceUnavailable {
		t.Errorf("a delivery without a database: status %d, want 503", status)
	}
	if status, body := readyz(t, admin); status != http.StatusServiceUnavailable || strings.Count(body, "\n") != 1 ||
		!strings.Contains(body, path+" was removed") {
		t.Errorf("/readyz without a database: %d %q, want 503 and one line that says why", status, body)
	}
	g.readUntil(t, regexp.MustCompile(`level=ERROR msg="service is not ready".* was (removed)`))
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if status, body := readyz(t, admin); status != http.StatusOK {
		t.Errorf("/readyz with the database back: %d %q", status, body)
	}
	if status := g.deliver(t, "e2"); status != http.StatusOK {
		t.Errorf("a delivery with the database back: status %d", status)
	}
	g.readUntil(t, regexp.MustCompile(`level=INFO msg="service is (ready again)"`))
	if log := g.stop(t); !strings.Contains(log, `level=INFO msg="database is new and empty" program=gateway file=`+path+"\n") {
		t.Errorf("it said %q, want that the database is new", log)
	}
}

func TestBackup_restored(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, copied, backup := filepath.Join(folder, "gateway.db"), filepath.Join(folder, "copied.db"), filepath.Join(folder, "backup.db")
	lookup := env(t, "GATEWAY_DATABASE_URL=sqlite:"+path)
	g := start(t, lookup)
	defer g.stop(t)
	if status := g.deliver(t, "e1"); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"backup", backup}, lookup, nil, &stdout, &stderr); code != settings.ExitOK || stderr.Len() > 0 ||
		!strings.HasPrefix(stdout.String(), path+" is backed up to "+backup) {
		t.Errorf("backup: status %d, output %q, errors %q", code, stdout.String(), stderr.String())
	}
	content, err := os.ReadFile(path)
	if err := errors.Join(err, os.WriteFile(copied, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	stderr.Reset()
	if code := run(t.Context(), nil, env(t, "GATEWAY_DATABASE_URL=sqlite:"+copied), nil, io.Discard, &stderr); code != settings.ExitSettings ||
		!strings.Contains(stderr.String(), "the command backup") {
		t.Errorf("a copy of the file in use: status %d, errors %q; want %d and what to do", code, stderr.String(), settings.ExitSettings)
	}
	restored := start(t, env(t, "GATEWAY_DATABASE_URL=sqlite:"+backup))
	if status := restored.deliver(t, "e1"); status != http.StatusOK {
		t.Errorf("the event of the backup once more: status %d", status)
	}
	if log := restored.stop(t); strings.Contains(log, "is new") {
		t.Errorf("it said %q: the backup is not new", log)
	}
}

// TestRestore_overALeftOverWAL restores a backup over the files that a crash left.
func TestRestore_overALeftOverWAL(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, crashed, backup := filepath.Join(folder, "gateway.db"), filepath.Join(folder, "crashed.db"), filepath.Join(folder, "backup.db")
	g := start(t, env(t, "GATEWAY_DATABASE_URL=sqlite:"+path))
	if status := g.deliver(t, "e1"); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	call := func(url string, args ...string) (code int, output string) {
		var stdout, stderr bytes.Buffer
		code = run(t.Context(), args, env(t, "GATEWAY_DATABASE_URL="+url), nil, &stdout, &stderr)
		return code, stdout.String() + stderr.String()
	}
	if code, output := call("sqlite:"+path, "backup", backup); code != settings.ExitOK {
		t.Fatal(output)
	}
	for i := range 200 {
		if status := g.deliver(t, "later"+strconv.Itoa(i)); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err := errors.Join(err, os.WriteFile(crashed+suffix, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if code, output := call("sqlite:"+path, "restore", backup); code != settings.ExitFailure || !strings.Contains(output, "in use") {
		t.Errorf("a restore under a running gateway: status %d, %q", code, output)
	}
	g.stop(t)
	if code, output := call("sqlite:"+crashed, "restore", backup); code != settings.ExitOK ||
		!strings.Contains(output, crashed+" is restored from "+backup) || !strings.Contains(output, "forwarded again") {
		t.Errorf("restore: status %d, %q", code, output)
	}
	restored := start(t, env(t, "GATEWAY_DATABASE_URL=sqlite:"+crashed))
	for _, id := range []string{"e1", "later1"} {
		if status := restored.deliver(t, id); status != http.StatusOK {
			t.Errorf("event %s after the restore: status %d", id, status)
		}
	}
	restored.stop(t)
}
