package postgresserver

import "syscall"

// attributes has the kernel end the server in immediate mode when the thread that started it ends, and so when this process ends,
// however it does. The server has a process group of its own, so that Ctrl-C at a terminal is left to this process: it may have
// to stop others before.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
}
