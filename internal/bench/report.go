package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/process"
)

// Report is what was measured.
type Report struct {
	Machine                Machine
	Requests, RequestBytes int
	Comparisons            []Comparison
	Uses                   []Use
}

// Comparison is one variant against the bare handler: for each round, the events a second of both.
type Comparison struct {
	Variant     string
	Connections int
	// Target is the least median ratio that is wanted. 0 means that there is none.
	Target      float64
	Bare, Rates []float64
}

// Ratios returns the ratio of each round, from the lowest to the highest.
func (c Comparison) Ratios() []float64 {
	ratios := make([]float64, 0, len(c.Rates))
	for i, rate := range c.Rates {
		ratios = append(ratios, rate/c.Bare[i])
	}
	slices.Sort(ratios)
	return ratios
}

// Met tells whether the median ratio reaches the target.
func (c Comparison) Met() bool { return median(c.Ratios()) >= c.Target }

// Use is what a process used during a variant, over all rounds.
type Use struct {
	During, Process string
	// Measured tells whether this system says what a process uses.
	Measured bool
	// CPUPerEvent has an entry for each round.
	CPUPerEvent []time.Duration
	// ResidentBytes is the most that was in memory at the end of a round, PeakResidentBytes the most at any time.
	ResidentBytes, PeakResidentBytes int64
}

// Met tells whether every target is met.
func (r Report) Met() bool {
	return !slices.ContainsFunc(r.Comparisons, func(c Comparison) bool { return !c.Met() })
}

func (r *Report) add(variant string, connections int, target, bare, rate float64) {
	i := slices.IndexFunc(r.Comparisons, func(c Comparison) bool { return c.Variant == variant && c.Connections == connections })
	if i < 0 {
		i = len(r.Comparisons)
		r.Comparisons = append(r.Comparisons, Comparison{Variant: variant, Connections: connections, Target: target})
	}
	c := &r.Comparisons[i]
	c.Bare, c.Rates = append(c.Bare, bare), append(c.Rates, rate)
}

// meter remembers what a process had used when a part began.
type meter struct {
	during, process string
	pid             int
	before          process.Usage
}

func newMeter(during, name string, pid int) meter {
	// What can't be measured now can't be at the end either, and is reported there.
	before, _ := process.ReadUsage(pid)
	return meter{during: during, process: name, pid: pid, before: before}
}

// addUse notes what a process has used since its meter was made, for this many events.
func (r *Report) addUse(m meter, events int) error {
	now, err := process.ReadUsage(m.pid)
	measured := !errors.Is(err, process.ErrNotMeasured)
	if err != nil && measured {
		return fmt.Errorf("reading what %s used: %w", m.process, err)
	}
	i := slices.IndexFunc(r.Uses, func(u Use) bool { return u.During == m.during && u.Process == m.process })
	if i < 0 {
		i = len(r.Uses)
		r.Uses = append(r.Uses, Use{During: m.during, Process: m.process, Measured: measured})
	}
	u := &r.Uses[i]
	u.CPUPerEvent = append(u.CPUPerEvent, (now.CPU-m.before.CPU)/time.Duration(max(1, events)))
	u.ResidentBytes = max(u.ResidentBytes, now.ResidentBytes)
	u.PeakResidentBytes = max(u.PeakResidentBytes, now.PeakResidentBytes)
	return nil
}

// Print writes the report as aligned tables. judged tells whether the targets count: a short run is too noisy for a verdict.
func (r Report) Print(w io.Writer, judged bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// The table keeps its rows until it is flushed, so that only Flush can fail.
	row := func(format string, values ...any) { _, _ = fmt.Fprintf(table, format+"\n", values...) }
	row("%v", r.Machine)
	row("%d different requests of %d bytes on average, head included; median of the rounds, with the lowest and highest", r.Requests, r.RequestBytes)
	row("")
	row("variant\tconnections\tevents/s\tbare/s\tratio\tlowest–highest\ttarget\tverdict")
	for _, c := range r.Comparisons {
		ratios := c.Ratios()
		row("%s\t%d\t%.0f\t%.0f\t%.2f\t%.2f–%.2f\t%s\t%s", c.Variant, c.Connections, median(c.Rates), median(c.Bare),
			median(ratios), ratios[0], ratios[len(ratios)-1], c.targetText(), c.verdict(judged))
	}
	row("")
	row("process\tduring\tCPU/event\tmemory at the end\tpeak memory")
	for _, u := range r.Uses {
		if !u.Measured {
			row("%s\t%s\tnot measured\tnot measured\tnot measured", u.Process, u.During)
			continue
		}
		row("%s\t%s\t%.1f µs\t%.0f MiB\t%.0f MiB", u.Process, u.During, float64(median(u.CPUPerEvent))/float64(time.Microsecond),
			mebibytes(u.ResidentBytes), mebibytes(u.PeakResidentBytes))
	}
	return table.Flush()
}

func (c Comparison) targetText() string {
	if c.Target == 0 {
		return "none"
	}
	return fmt.Sprintf("≥ %.2f", c.Target)
}

func (c Comparison) verdict(judged bool) string {
	switch {
	case !judged || c.Target == 0:
		return "not judged"
	case c.Met():
		return "met"
	default:
		return "MISSED"
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// median returns the middle value, or the lower one of the two in the middle, which errs against us. values may be in any order.
func median[T float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
