package postgresserver

import "syscall"

// attributes makes the kernel end the server in immediate mode when the thread that started the server ends. So the server ends with this
// process, even after a crash. The server has its own process group, so that Ctrl-C at a terminal reaches only this process, which may have
// to stop other processes before the server.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
}
