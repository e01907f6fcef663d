// Package process runs programs beside this one: it starts a binary, waits until it is ready, and stops or kills it.
//
// The benchmark and the end-to-end tests run the services with it, as an operator would: as processes of their own, set up by
// environment variables, ended by signals.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	// ErrExited says that the process ended before it was ready. The text holds the end of its log.
	ErrExited = errors.New("process ended before it was ready")
	// ErrKilled says that the process did not end by itself in time, and was killed.
	ErrKilled = errors.New("process did not stop in time and was killed")
	// ErrRunning says that the process still runs.
	ErrRunning = errors.New("process still runs")
)

const (
	// readyPoll is the pause between two looks at whether a process is ready. Short beside a start, which takes tens of milliseconds.
	readyPoll = 10 * time.Millisecond
	// readyTimeout bounds one such look, so that a process that accepts and does not answer is asked again.
	readyTimeout = 2 * time.Second
	// logTail is how much of its log an error quotes, in bytes.
	logTail = 2048
)

// Command says what to start.
type Command struct {
	// Path of the binary. A name without a slash is looked up in PATH.
	Path string
	// Args are its arguments, without the name of the program.
	Args []string
	// Env is its whole environment, each entry NAME=value. Nil means this process's own.
	Env []string
	// Dir is the folder that it runs in. Empty means this process's own.
	Dir string
	// LogPath is the file that gets what it writes to standard output and standard error. It is made when it is missing, and appended
	// to, so that a restart keeps what came before.
	LogPath string
	// Log gets the output where LogPath is empty. Nil drops the output.
	Log *os.File
	// ReadyURL answers 200 once the process is ready. Empty means that it is ready as soon as it runs.
	ReadyURL string
}

// Process is a started program. Its methods may be called from several goroutines.
type Process struct {
	command Command
	cmd     *exec.Cmd
	exited  chan struct{}
}

// Start starts a program and waits until it is ready.
//
// ctx bounds the wait alone: the process lives on after it. When Start fails nothing is left running; the error is [ErrExited] when
// the process ended by itself, and ctx's when that ended first.
func Start(ctx context.Context, command Command) (*Process, error) {
	p := &Process{command: command, cmd: exec.Command(command.Path, command.Args...), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = command.Env, command.Dir
	if command.Log != nil {
		p.cmd.Stdout, p.cmd.Stderr = command.Log, command.Log
	}
	if command.LogPath != "" {
		log, err := os.OpenFile(command.LogPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, fmt.Errorf("opening the log of %s: %w", p.name(), err)
		}
		// The process has the file itself, not a pipe that this one would have to drain: its output survives us, and a burst of it
		// costs us nothing.
		defer func() { _ = log.Close() }()
		p.cmd.Stdout, p.cmd.Stderr = log, log
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name(), err)
	}
	go func() {
		// How it ended is in cmd.ProcessState.
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	if err := p.waitReady(ctx); err != nil {
		p.Kill()
		return nil, fmt.Errorf("%s: %w%s", p.name(), err, p.quoteLog())
	}
	return p, nil
}

// Restart starts the same program again, with the same log, and waits until it is ready. The process must have ended:
// otherwise the error is [ErrRunning]. Apart from that it is [Start].
func (p *Process) Restart(ctx context.Context) (*Process, error) {
	select {
	case <-p.exited:
		return Start(ctx, p.command)
	default:
		return nil, fmt.Errorf("%s: %w", p.name(), ErrRunning)
	}
}

// Stop sends SIGTERM and waits until the process has ended. When ctx ends first it is killed, and the error is [ErrKilled]; when it
// ends with another status than 0 the error says so, with the end of its log.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.Kill()
		return fmt.Errorf("stopping %s: %w", p.name(), err)
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("%s: %w%s", p.name(), ErrKilled, p.quoteLog())
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %v%s", p.name(), p.cmd.ProcessState, p.quoteLog())
	}
	return nil
}

// Kill ends the process with SIGKILL, as kill -9 does, and returns once it is gone. It does nothing when it has ended already.
func (p *Process) Kill() {
	// The one error is that it has ended, which is what is wanted.
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Signal sends a signal, such as SIGSTOP, and does not wait. The error is [os.ErrProcessDone] when the process has ended.
func (p *Process) Signal(signal os.Signal) error { return p.cmd.Process.Signal(signal) }

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed once the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode waits until the process has ended, and returns its exit status: -1 when a signal ended it.
func (p *Process) ExitCode() int {
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// The ports that [FreeAddress] gives out: below those that systems take for outgoing connections (from 32768 on Linux), so that no
// connection of a test takes one between its being given out and its being used.
const firstPort, ports = 20_000, 12_000

// nextPort is where the next search begins. It begins anywhere, so that processes that search at the same time rarely meet.
var nextPort = func() *atomic.Uint32 {
	var start atomic.Uint32
	start.Store(rand.Uint32N(ports))
	return &start
}()

// FreeAddress returns a loopback address, with a port that nothing listens on at the moment and that it has not returned before.
func FreeAddress() (string, error) {
	var err error
	for range ports {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+nextPort.Add(1)%ports)
		var listener net.Listener
		if listener, err = net.Listen("tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", fmt.Errorf("looking for a free port: %w", err)
}

func (p *Process) name() string { return filepath.Base(p.command.Path) }

// waitReady returns once ReadyURL answers 200, the process has ended, or ctx ends.
func (p *Process) waitReady(ctx context.Context) error {
	if p.command.ReadyURL == "" {
		return nil
	}
	// Not the default client: its idle connections would outlive the wait and hold up a clean stop.
	client := &http.Client{Timeout: readyTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		reason := askReady(ctx, client, p.command.ReadyURL)
		if reason == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%w: %v", ErrExited, p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w (%w)", context.Cause(ctx), reason)
		case <-poll.C:
		}
	}
}

// askReady asks once, and returns why the process is not ready.
func askReady(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// quoteLog returns the end of the log for an error's text, or nothing when there is none.
func (p *Process) quoteLog() string {
	if p.command.LogPath == "" {
		return ""
	}
	file, err := os.Open(p.command.LogPath)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > logTail {
		if _, err := file.Seek(-logTail, io.SeekEnd); err != nil {
			return ""
		}
	}
	tail, err := io.ReadAll(io.LimitReader(file, logTail))
	if err != nil || len(tail) == 0 {
		return ""
	}
	return fmt.Sprintf("\nthe end of %s:\n%s", p.command.LogPath, tail)
}
