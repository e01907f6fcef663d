//go:build unix

package httpserver

import (
	"math"
	"syscall"
)

// openFilesLimit returns how many files the process may have open. Go raises that at the start as far as the system lets it.
func openFilesLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt32
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)) //nolint:unconvert // The field's type differs between systems.
}
