// Package goruntime sets up Go's runtime and signals for a process that answers many small requests and commits to disk.
package goruntime

import (
	"runtime"
	"runtime/debug"
)

// gcPercent lets the heap grow to five times the live heap before it is collected. The live heap is a few megabytes, so by default the
// collector would run many times a second.
const gcPercent = 400

// memoryLimit is the heap size in bytes from which on the heap is collected more often than by gcPercent: five times the memory of many
// large requests at the same time would be too much. The limit is more than these requests hold, so the collector is never busy all the
// time.
const memoryLimit = 256 << 20

// Tune sets the parameters that the environment does not set: GOGC, GOMEMLIMIT, and GOMAXPROCS, to the number of processors plus one.
//
// The additional processor is for the goroutine that commits. While that goroutine waits for the disk, in a system call, it keeps its
// processor from the others until the runtime notices. docs/performance.md has the figures of both. After Tune has set GOMAXPROCS, Go no
// longer follows a container's processor limit that changes while the process runs.
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
