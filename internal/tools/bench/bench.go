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

// bench is one run: the databases and services that it starts, and what it has measured.
type bench struct {
	progress io.Writer
	// folder holds the databases and logs. It is absolute, because services resolve paths from a folder of their own choice.
	folder string
	// postgres is nil when PostgreSQL is not measured.
	postgres *postgresserver.Server
	// made is how many databases and services there were, which makes their names different.
	made    int
	results results
}

// newBench makes a folder in dir. The caller has to call close.
func newBench(dir string, progress io.Writer) (*bench, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	// Other accounts may pass through the folder, not list it: as root, PostgreSQL runs as another account.
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

func (b *bench) sayf(format string, values ...any) {
	_, _ = fmt.Fprintf(b.progress, format+"\n", values...)
}

// engines returns what the services are measured on.
func (b *bench) engines() []string {
	if b.postgres == nil {
		return []string{sqlite}
	}
	return []string{sqlite, postgreSQL}
}

// newName returns a name that nothing else in this run has.
func (b *bench) newName(prefix string) string {
	b.made++
	return fmt.Sprintf("%s_%d", prefix, b.made)
}

// usage returns what this process, the services, and PostgreSQL where it is the engine have used so far. This process counts because it
// takes its share of the same machine. All replicas of a service count as one. A system that does not say what a process uses leaves it
// out. PostgreSQL's processes share memory, so that theirs is left out.
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

// noteUsage notes what was used since an earlier usage, for this many events.
func (b *bench) noteUsage(during part, services []*service, before map[string]process.Usage, events int) {
	now := b.usage(during, services)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		each := (now[name].CPU - before[name].CPU).Seconds() * 1e6 / float64(max(1, events))
		b.results.add(figure{part: during, what: "CPU an event, " + name, unit: "µs"}, each)
		if peak := now[name].PeakResidentBytes; peak > 0 {
			b.results.add(figure{part: during, what: "peak memory, " + name, unit: "MiB"}, float64(peak)/(1<<20))
		}
	}
}
