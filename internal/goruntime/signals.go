package goruntime

import (
	"os"
	"os/signal"
	"syscall"
)

// KeepServing makes the process ignore two signals that would end a service without draining it, SIGHUP and SIGPIPE, for as long as the
// process lives. It returns a channel that receives each SIGHUP. SIGHUP is sent when somebody wants files to be read again, and when the
// terminal is closed from which the service was started.
//
// By default Go ends a process with SIGPIPE if it writes to a standard output or standard error whose reader is gone, and a service's log
// can lose its reader. If SIGPIPE is ignored, the write fails, and only the log line is lost. Commands that print and end do not call
// KeepServing: they end quietly when nobody reads any more.
func KeepServing() (hangups <-chan os.Signal) {
	signal.Ignore(syscall.SIGPIPE)
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGHUP)
	return received
}
