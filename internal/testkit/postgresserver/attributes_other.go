//go:build !linux

package postgresserver

import "syscall"

// attributes leaves the server in this process's group: nothing else ends it here when this process is interrupted.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as}
}
