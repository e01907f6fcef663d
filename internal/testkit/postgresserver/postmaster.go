package postgresserver

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// killLimit is how long the server may take to end in immediate mode before it gets SIGKILL. It gives its own backends 5 seconds.
const killLimit = 15 * time.Second

// postmaster is one run of the server: the process that all others of it descend from.
type postmaster struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// startPostmaster starts the server and doesn't wait until it is ready. What it writes goes to the end of the log.
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
		// Linux tells a child that its parent has died when the parent's thread does that started it. So that thread is kept for as
		// long as the server runs; without the lock Go would be free to end it.
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

// kill ends the server in immediate mode and returns once it is gone. It does nothing when it has ended already.
func (p *postmaster) kill() {
	// The one error is that it has ended, which is what is wanted.
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
