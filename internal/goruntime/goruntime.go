// Package goruntime sets up Go's runtime and signals for a process that answers many small requests and commits to disk.
package goruntime

import (
	"runtime"
	"runtime/debug"
)

// gcPercent lets the heap grow to five times what is live before it is collected. A few megabytes are live, so by default the collector
// would run many times a second.
const gcPercent = 400

// memoryLimit is from how many bytes on the heap is collected more often than gcPercent says: five times of what many large requests hold
// at the same time would be too much. It is more than they hold, so the collector is never busy all the time.
const memoryLimit = 256 << 20

// Tune sets what the environment does not: GOGC, GOMEMLIMIT, and GOMAXPROCS to one more than there are processors.
//
// The one more is for the goroutine that commits. While it waits for the disk, in a system call, it keeps its processor from the others
// until the runtime notices. docs/performance.md has the figures of both. Go no longer
// follows a container's processor limit that changes while the process runs.
func Tune(lookupEnv func(string) (string, bool)) {
	if value, _ := lookupEnv("GOGC"); value == "" {
		debug.SetGCPercent(gcPercent)
	}
	if value, _ := lookupEnv("GOMEMLIMIT"); value == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if value, _ := lookupEnv("GOMAXPROCS"); value == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}
