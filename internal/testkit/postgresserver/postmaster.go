package postgresserver

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// killLimit is the maximum time of an end in immediate mode before the server gets SIGKILL. The server gives its backends 5 seconds.
const killLimit = 15 * time.Second

// postmaster is one run of the server: the parent of all its other processes.
type postmaster struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// startPostmaster starts the server, and does not wait until the server is ready. Its output is appended to the log.
func startPostmaster(cmd *exec.Cmd, logPath string, as *syscall.Credential) (*postmaster, error) {
	log, err := os.OpenFile(logPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes(as)
	p := &postmaster{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ends the server when the thread ends that started it. The lock keeps Go from ending this thread while the server runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			// How it ended is in cmd.ProcessState.
			_ = cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// kill ends the server in immediate mode, and returns when it has ended. It does nothing if the server has ended before.
func (p *postmaster) kill() {
	// The only error is that the server has ended.
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	limit := time.NewTimer(killLimit)
	defer limit.Stop()
	select {
	case <-p.exited:
	case <-limit.C:
		// Its backends notice that it is gone, and end.
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

func (p *postmaster) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}
