// Package process runs other programs: it starts a binary, waits until the program is ready, and stops or kills it.
//
// The benchmark and the end-to-end tests run the services with it as an operator does: as separate processes, with settings in environment
// variables, and stopped by signals.
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
	// ErrExited is returned if the process ended before it was ready. The error contains the end of the log.
	ErrExited = errors.New("process ended before it was ready")
	// ErrKilled is returned if the process did not end in time and was killed.
	ErrKilled = errors.New("process did not stop in time and was killed")
	// ErrRunning is returned if the process still runs.
	ErrRunning = errors.New("process still runs")
)

const (
	// readyPoll is the pause between two checks of readiness. It is short compared with a start, which takes tens of milliseconds.
	readyPoll = 10 * time.Millisecond
	// readyTimeout is the maximum time of one check, so that a process that accepts a connection and does not answer is checked again.
	readyTimeout = 2 * time.Second
	// logTail is the number of bytes of the log that an error quotes.
	logTail = 2048
)

// Command describes the program to start.
type Command struct {
	// Path is the path of the binary. A name without a slash is looked up in PATH.
	Path string
	// Args are the arguments, without the name of the program.
	Args []string
	// Env is the whole environment, with entries of the form NAME=value. Nil means the environment of this process.
	Env []string
	// Dir is the working directory. Empty means the working directory of this process.
	Dir string
	// LogPath is the file for standard output and standard error. The file is created if it is missing. The output is appended, so that a
	// restart keeps the earlier output.
	LogPath string
	// Log gets the output if LogPath is empty. Nil drops the output.
	Log *os.File
	// ReadyURL returns 200 if the process is ready. If it is empty, the process is ready as soon as it runs.
	ReadyURL string
}

// Process is a started program. Its methods are safe for concurrent use.
type Process struct {
	command Command
	cmd     *exec.Cmd
	exited  chan struct{}
}

// Start starts a program and waits until it is ready.
//
// ctx limits only the wait: the process runs on after ctx has ended. If Start fails, no process is left. The error is [ErrExited] if the
// process ended by itself, and ctx's error if ctx ended first.
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

// Restart starts the same program again, with the same log, and waits until it is ready. The error is [ErrRunning] if the process has not
// ended. All other errors are those of [Start].
func (p *Process) Restart(ctx context.Context) (*Process, error) {
	select {
	case <-p.exited:
		return Start(ctx, p.command)
	default:
		return nil, fmt.Errorf("%s: %w", p.name(), ErrRunning)
	}
}

// Stop sends SIGTERM and waits until the process has ended. If ctx ends first, the process is killed and the error is [ErrKilled]. If the
// process ends with another status than 0, the error has the status and the end of the log.
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

// Kill ends the process with SIGKILL, and waits until it has ended. It does nothing if the process has ended before.
func (p *Process) Kill() {
	// The only error is that the process has ended.
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Signal sends a signal, such as SIGSTOP, and does not wait. The error is [os.ErrProcessDone] if the process has ended.
func (p *Process) Signal(signal os.Signal) error { return p.cmd.Process.Signal(signal) }

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode waits until the process has ended, and returns its exit status. The status is -1 if a signal ended the process.
func (p *Process) ExitCode() int {
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// [FreeAddress] returns ports of this range. The range is below the ports of outgoing connections (from 32768 on Linux), so that no
// connection of a test takes a port before the port is used.
const firstPort, ports = 20_000, 12_000

// nextPort is the port at which the next search begins. The first one is random, so that concurrent processes rarely try the same ports.
var nextPort = func() *atomic.Uint32 {
	var start atomic.Uint32
	start.Store(rand.Uint32N(ports))
	return &start
}()

// FreeAddress returns a loopback address with a port on which nothing listens at the moment. It returns no port twice.
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

// waitReady returns when ReadyURL returns 200, the process has ended, or ctx has ended.
func (p *Process) waitReady(ctx context.Context) error {
	if p.command.ReadyURL == "" {
		return nil
	}
	// The default client would keep idle connections, which delay a clean stop.
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

// askReady checks readiness once. It returns nil if the process is ready, otherwise the reason.
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

// quoteLog returns the end of the log for an error, or an empty string if there is no log.
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
