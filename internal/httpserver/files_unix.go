//go:build unix

package httpserver

import (
	"math"
	"syscall"
)

// openFilesLimit returns the maximum number of files that the process may have open. Go raises the limit at the start as far as the system
// allows.
func openFilesLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt32
	}
	return int(min(uint64(limit.Cur), math.MaxInt32)) //nolint:unconvert // The field's type differs between systems.
}
