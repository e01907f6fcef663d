package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
	"github.com/ticketbridge/ticketbridge/internal/testkit/samples"
)

// serveSettings are the settings with which each service runs alone, at address and admin.
func serveSettings(t *testing.T, name, address, admin string) []string {
	t.Helper()
	prefix := strings.ToUpper(name) + "_"
	return []string{prefix + "LISTEN=" + address, prefix + "ADMIN_LISTEN=" + admin,
		prefix + "DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), name+".db"), "GATEWAY_WEBHOOK_SECRET=" + secret}
}

// startLogging starts a service alone that writes its log to a pipe, and waits until it is ready.
func startLogging(t *testing.T, name string, log *os.File) *service {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	s := &service{address: mustFreeAddress(t), admin: mustFreeAddress(t)}
	p, err := process.Start(ctx, process.Command{Path: commands.Path(t, name), Env: serveSettings(t, name, s.address, s.admin),
		Log: log, ReadyURL: "http://" + s.admin + "/readyz"})
	if err != nil {
		t.Fatal(err)
	}
	s.Process = p
	t.Cleanup(p.Kill)
	return s
}

// expectServing sends a request of which the gateway writes a log line, and expects the service's answer.
func (s *service) expectServing(t *testing.T, name string) {
	t.Helper()
	path, want := "/webhook", http.StatusUnauthorized
	if name == "ticketsvc" {
		path, want = "/unknown", http.StatusNotFound
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("x-allthings-signature", strings.Repeat("0", 64))
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != want {
		t.Errorf("status %d, %v, want %d", response.StatusCode, err, want)
	}
}

// TestServe_logReaderGone ends the reader of a service's log, as `gateway 2>&1 | logger` does when logger dies.
func TestServe_logReaderGone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gateway", "ticketsvc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader, writer := mustPipe(t)
			s := startLogging(t, name, writer)
			if err := reader.Close(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				s.expectServing(t, name)
			}
			// The service writes log lines when it stops.
			stop(t, s)
		})
	}
}

// TestServe_logReaderStuck starts a service whose log is a full pipe whose reader reads nothing.
func TestServe_logReaderStuck(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gateway", "ticketsvc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, writer := mustPipe(t)
			mustFill(t, writer)
			s := startLogging(t, name, writer)
			s.expectServing(t, name)
			stop(t, s)
		})
	}
}

// TestExplain_outputReaderGone prints to a reader that has ended, as `gateway explain FILE | head` does.
func TestExplain_outputReaderGone(t *testing.T) {
	t.Parallel()
	body := filepath.Join(t.TempDir(), "body.json")
	content, err := samples.Files.ReadFile("created-full.json")
	if err := errors.Join(err, os.WriteFile(body, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	reader, writer := mustPipe(t)
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	command := exec.CommandContext(t.Context(), commands.Path(t, "gateway"), "explain", body)
	command.Stdout, command.Stderr = writer, &stderr
	var exit *exec.ExitError
	if err := command.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGPIPE || stderr.Len() > 0 {
		t.Errorf("it ended with %v and said %q, want SIGPIPE and nothing", err, stderr.String())
	}
}

// TestServe_hangup sends SIGHUP to services that have no file to read again.
func TestServe_hangup(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	for _, service := range slices.Concat(s.gateways, s.ticketsvcs) {
		if err := service.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if !service.logHasWithin(t, 20*time.Second, "SIGHUP changes nothing") {
			t.Errorf("%s does not say what SIGHUP did", service.log)
		}
		stop(t, service)
	}
}

func mustPipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = reader.Close(), writer.Close() })
	return reader, writer
}

// mustFill writes to a pipe until nothing more fits.
func mustFill(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// The pipe does not block, because os.Pipe makes it so.
	if err := raw.Control(func(fd uintptr) {
		for _, size := range []int{4096, 1} {
			for err == nil {
				_, err = syscall.Write(int(fd), make([]byte, size))
			}
			if !errors.Is(err, syscall.EAGAIN) {
				return
			}
			err = nil
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
