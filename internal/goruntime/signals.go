package goruntime

import (
	"os"
	"os/signal"
	"syscall"
)

// KeepServing keeps two signals from ending a service undrained, for as long as the process lives, and returns the channel of one of them:
// SIGHUP. It is sent when somebody wants files to be read again, and when the terminal closes from which the service was started.
//
// The other one is SIGPIPE. By default Go ends a process that writes to a standard output or standard error whose reader is gone, and a
// service's log can lose its reader. With SIGPIPE ignored, the write fails, and only the log line is lost. Commands that print and end do
// not call KeepServing: they end quietly when nobody reads any more.
func KeepServing() (hangups <-chan os.Signal) {
	signal.Ignore(syscall.SIGPIPE)
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGHUP)
	return received
}
