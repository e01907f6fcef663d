//go:build unix

package sqlitedb

import (
	"os"
	"syscall"
)

// links returns the number of names of a file.
func links(info os.FileInfo) uint64 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(stat.Nlink) //nolint:unconvert // The field's type differs between systems.
}
