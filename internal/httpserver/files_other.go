//go:build !unix

package httpserver

import "math"

// openFilesLimit returns the maximum number of files that the process may have open.
func openFilesLimit() int { return math.MaxInt32 }
