//go:build !unix

package sqlitedb

import "os"

// links returns 1, because this system does not report how many names a file has.
func links(os.FileInfo) uint64 { return 1 }
