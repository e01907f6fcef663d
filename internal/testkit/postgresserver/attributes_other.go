//go:build !linux

package postgresserver

import "syscall"

// attributes leaves the server in this process's group, so that an interrupt of this process ends the server too.
func attributes(as *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: as}
}
