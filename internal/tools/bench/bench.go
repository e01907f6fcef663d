package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/ticketbridge/ticketbridge/internal/testkit/postgresserver"
	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// bench is one run: the databases and services that it starts, and its results.
type bench struct {
	progress io.Writer
	// folder has the databases and logs. It is absolute, because a service resolves relative paths from its own working folder.
	folder string
	// postgres is nil when PostgreSQL is not measured.
	postgres *postgresserver.Server
	// made is the number of names that [bench.newName] has returned.
	made    int
	results results
}

// newBench makes a folder in dir. The caller must call close.
func newBench(dir string, progress io.Writer) (*bench, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	// Other accounts can open paths in the folder but not list it. If this process runs as root, PostgreSQL runs as another account.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	machine := fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	folder, err := os.MkdirTemp(dir, "bench-")
	return &bench{progress: progress, folder: folder, results: results{head: []string{machine}}}, err
}

// close ends the PostgreSQL server, and removes everything that the run made.
func (b *bench) close() (err error) {
	if b.postgres != nil {
		err = b.postgres.Close()
	}
	return errors.Join(err, os.RemoveAll(b.folder))
}

func (b *bench) logf(format string, values ...any) {
	_, _ = fmt.Fprintf(b.progress, format+"\n", values...)
}

// engines returns the engines on which the services are measured.
func (b *bench) engines() []string {
	if b.postgres == nil {
		return []string{sqlite}
	}
	return []string{sqlite, postgreSQL}
}

// newName returns a name that is unique in this run.
func (b *bench) newName(prefix string) string {
	b.made++
	return fmt.Sprintf("%s_%d", prefix, b.made)
}

// usage returns the usage so far of this process, of the services, and of PostgreSQL if it is the engine. This process counts, because it
// needs a share of the same machine. The replicas of a service are added up. On a system that does not report the usage of processes the
// result is empty. The memory of PostgreSQL is left out, because its processes share it.
func (b *bench) usage(during part, services []*service) map[string]process.Usage {
	used := map[string]process.Usage{}
	if own, err := process.ReadUsage(os.Getpid()); err == nil {
		used["load generator"] = process.Usage{CPU: own.CPU}
	}
	for _, s := range services {
		if usage, err := process.ReadUsage(s.PID()); err == nil {
			sum := used[s.name]
			used[s.name] = process.Usage{CPU: sum.CPU + usage.CPU, PeakResidentBytes: sum.PeakResidentBytes + usage.PeakResidentBytes}
		}
	}
	if during.engine == postgreSQL {
		if cpu, err := b.postgres.CPU(); err == nil {
			used[postgreSQL] = process.Usage{CPU: cpu}
		}
	}
	return used
}

// recordUsage adds figures for the usage since before, per event. events is the number of events since then.
func (b *bench) recordUsage(during part, services []*service, before map[string]process.Usage, events int) {
	now := b.usage(during, services)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		each := (now[name].CPU - before[name].CPU).Seconds() * 1e6 / float64(max(1, events))
		b.results.add(figure{part: during, what: "CPU an event, " + name, unit: "µs"}, each)
		if peak := now[name].PeakResidentBytes; peak > 0 {
			b.results.add(figure{part: during, what: "peak memory, " + name, unit: "MiB"}, float64(peak)/(1<<20))
		}
	}
}
