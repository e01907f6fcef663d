//go:build !unix

package sqlitedb

import "os"

// links returns 1, because this system does not report the number of names of a file.
func links(os.FileInfo) uint64 { return 1 }
