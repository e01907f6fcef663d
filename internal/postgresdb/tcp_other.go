//go:build !linux

package postgresdb

import "syscall"

// boundSilence does nothing: only Linux has the setting.
func boundSilence(string, string, syscall.RawConn) error { return nil }
