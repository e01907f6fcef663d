//go:build !linux

package postgresdb

import "syscall"

// setTCPUserTimeout does nothing: only Linux has the setting.
func setTCPUserTimeout(string, string, syscall.RawConn) error { return nil }
