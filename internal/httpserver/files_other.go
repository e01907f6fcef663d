//go:build !unix

package httpserver

import "math"

// openFilesLimit returns how many files the process may have open.
func openFilesLimit() int { return math.MaxInt32 }
