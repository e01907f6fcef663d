package process_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// The test binary is also the program that the tests start. The first variable is its behaviour, the second is its listen address.
const (
	behaviourEnv = "PROCESS_TEST_BEHAVIOUR"
	addressEnv   = "PROCESS_TEST_ADDRESS"
)

func TestMain(m *testing.M) {
	if behaviour, ok := os.LookupEnv(behaviourEnv); ok {
		os.Exit(behave(behaviour))
	}
	goleak.VerifyTestMain(m)
}

func behave(behaviour string) int {
	fmt.Println("started as", behaviour)
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	switch behaviour {
	case "fails at start":
		fmt.Fprintln(os.Stderr, "no secret is set")
		return 3
	case "never ready":
		<-terminated
		return 0
	}
	go func() {
		_ = http.ListenAndServe(os.Getenv(addressEnv), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}()
	<-terminated
	switch behaviour {
	case "ignores SIGTERM":
		select {}
	case "fails at stop":
		fmt.Println("could not flush")
		return 4
	}
	return 0
}

// limit is the maximum time of a test that would otherwise hang for ever. No passing test waits for it.
const limit = 30 * time.Second

func command(t *testing.T, behaviour string) process.Command {
	t.Helper()
	address, err := process.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return process.Command{
		Path:     binary,
		Env:      append(os.Environ(), behaviourEnv+"="+behaviour, addressEnv+"="+address),
		LogPath:  filepath.Join(t.TempDir(), "log"),
		ReadyURL: "http://" + address + "/readyz",
	}
}

func mustStart(t *testing.T, c process.Command) *process.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	p, err := process.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func stop(p *process.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return p.Stop(ctx)
}

func TestProcess_startStopAndRestart(t *testing.T) {
	t.Parallel()
	c := command(t, "serves")
	p := mustStart(t, c)
	if _, err := p.Restart(t.Context()); !errors.Is(err, process.ErrRunning) {
		t.Errorf("Restart of a running process: %v, want ErrRunning", err)
	}
	p.Kill()
	if code := p.ExitCode(); code != -1 {
		t.Errorf("exit code after kill = %d, want -1", code)
	}
	again, err := p.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Kill)
	if err := stop(again); err != nil {
		t.Error(err)
	}
	if code := again.ExitCode(); code != 0 {
		t.Errorf("exit code = %d, want 0", code)
	}
	log, err := os.ReadFile(c.LogPath)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(log), "started as serves"); got != 2 {
		t.Errorf("log has %d starts, want both:\n%s", got, log)
	}
}

func TestProcess_Stop_endedProcess(t *testing.T) {
	t.Parallel()
	p := mustStart(t, command(t, "serves"))
	if err := stop(p); err != nil {
		t.Error(err)
	}
	if err := stop(p); err != nil {
		t.Errorf("second stop: %v", err)
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal: %v, want os.ErrProcessDone", err)
	}
}

func TestStart_failureQuotesTheLog(t *testing.T) {
	t.Parallel()
	_, err := process.Start(t.Context(), command(t, "fails at start"))
	if !errors.Is(err, process.ErrExited) {
		t.Fatalf("got %v, want ErrExited", err)
	}
	for _, want := range []string{"exit status 3", "no secret is set"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestStart_endsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := process.Start(ctx, command(t, "never ready"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestStart_missingBinary(t *testing.T) {
	t.Parallel()
	_, err := process.Start(t.Context(), process.Command{Path: filepath.Join(t.TempDir(), "missing")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
}

func TestProcess_Stop_killsAfterItsContext(t *testing.T) {
	t.Parallel()
	p := mustStart(t, command(t, "ignores SIGTERM"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); !errors.Is(err, process.ErrKilled) {
		t.Errorf("got %v, want ErrKilled", err)
	}
	<-p.Exited()
}

func TestProcess_Stop_failingExit(t *testing.T) {
	t.Parallel()
	err := stop(mustStart(t, command(t, "fails at stop")))
	if err == nil || !strings.Contains(err.Error(), "exit status 4") || !strings.Contains(err.Error(), "could not flush") {
		t.Errorf("got %v, want the exit status and the log", err)
	}
}

func TestReadUsage(t *testing.T) {
	t.Parallel()
	p := mustStart(t, command(t, "serves"))
	usage, err := process.ReadUsage(p.PID())
	if errors.Is(err, process.ErrNotMeasured) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if usage.ResidentBytes < 1<<20 || usage.PeakResidentBytes < usage.ResidentBytes {
		t.Errorf("resident %d, peak %d bytes: want a Go program's, and peak not below", usage.ResidentBytes, usage.PeakResidentBytes)
	}
	p.Kill()
	if _, err := process.ReadUsage(p.PID()); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("after its end: %v, want os.ErrProcessDone", err)
	}
}

func TestReadUsage_countsCPUTime(t *testing.T) {
	t.Parallel()
	before, err := process.ReadUsage(os.Getpid())
	if errors.Is(err, process.ErrNotMeasured) {
		t.Skip(err)
	}
	for err == nil {
		var now process.Usage
		if now, err = process.ReadUsage(os.Getpid()); now.CPU > before.CPU {
			return
		}
	}
	t.Error(err)
}
