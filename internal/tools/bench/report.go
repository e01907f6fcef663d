package bench

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/testkit/process"
)

// Report is what was measured.
type Report struct {
	Machine Machine
	// Postgres says which server was measured, with the settings that speed hangs on most. Empty for none.
	Postgres               string
	Requests, RequestBytes int
	Comparisons            []Comparison
	Uses                   Uses
}

// Part is one thing that is measured once in each round.
type Part struct {
	Variant string
	// Engine is [SQLite] or [PostgreSQL]. Empty for the bare handler, which keeps nothing.
	Engine string
	// Replicas is how many there are of each service.
	Replicas int
	// Connections is how many the requests come over, to all replicas together.
	Connections int
}

// String returns the part for a line of text.
func (p Part) String() string {
	text := p.Variant
	if p.Engine != "" {
		text += ", " + p.Engine
	}
	if p.Replicas > 1 {
		text += fmt.Sprintf(", %d replicas", p.Replicas)
	}
	return fmt.Sprintf("%s, %d connections", text, p.Connections)
}

// columns returns the part's columns of a table, which [partHeads] are the heads of.
func (p Part) columns() string {
	return fmt.Sprintf("%s\t%s\t%d\t%d", p.Variant, cmp.Or(p.Engine, "none"), p.Replicas, p.Connections)
}

const (
	partHeads = "variant\tengine\treplicas\tconnections"
	// noPart leaves the columns empty, where the part is that of the line above.
	noPart = "\t\t\t"
)

// Comparison is one part against the bare handler: for each round, the events a second of both.
type Comparison struct {
	Part
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

// Use is what a process used during a part, over all rounds. All replicas of a service count as one.
type Use struct {
	During  Part
	Process string
	// Measured tells whether this system says what a process uses.
	Measured bool
	// CPUPerEvent has an entry for each round.
	CPUPerEvent []time.Duration
	// ResidentBytes is the most that was in memory at the end of a round, PeakResidentBytes the most at any time. 0 means not measured.
	ResidentBytes, PeakResidentBytes int64
}

// Uses is what processes used, in the order in which it was measured.
type Uses []Use

// Met tells whether every target is met.
func (r Report) Met() bool {
	return !slices.ContainsFunc(r.Comparisons, func(c Comparison) bool { return !c.Met() })
}

func (r *Report) add(part Part, target, bare, rate float64) {
	i := slices.IndexFunc(r.Comparisons, func(c Comparison) bool { return c.Part == part })
	if i < 0 {
		i = len(r.Comparisons)
		r.Comparisons = append(r.Comparisons, Comparison{Part: part, Target: target})
	}
	c := &r.Comparisons[i]
	c.Bare, c.Rates = append(c.Bare, bare), append(c.Rates, rate)
}

// meter remembers what a process had used when a part began.
type meter struct {
	during  Part
	process string
	read    func() (process.Usage, error)
	before  process.Usage
}

func newMeter(during Part, name string, read func() (process.Usage, error)) meter {
	// What can't be measured now can't be at the end either, and is reported there.
	before, _ := read()
	return meter{during: during, process: name, read: read, before: before}
}

// usageOf returns what reads the sum of what some processes have used.
func usageOf(pids ...int) func() (process.Usage, error) {
	return func() (sum process.Usage, err error) {
		for _, pid := range pids {
			usage, err := process.ReadUsage(pid)
			if err != nil {
				return sum, err
			}
			sum.CPU += usage.CPU
			sum.ResidentBytes += usage.ResidentBytes
			sum.PeakResidentBytes += usage.PeakResidentBytes
		}
		return sum, nil
	}
}

// add notes what a process has used since its meter was made, for this many events.
func (all *Uses) add(m meter, events int) error {
	now, err := m.read()
	measured := !errors.Is(err, process.ErrNotMeasured)
	if err != nil && measured {
		return fmt.Errorf("reading what %s used: %w", m.process, err)
	}
	i := slices.IndexFunc(*all, func(u Use) bool { return u.During == m.during && u.Process == m.process })
	if i < 0 {
		i = len(*all)
		*all = append(*all, Use{During: m.during, Process: m.process, Measured: measured})
	}
	u := &(*all)[i]
	u.CPUPerEvent = append(u.CPUPerEvent, (now.CPU-m.before.CPU)/time.Duration(max(1, events)))
	u.ResidentBytes = max(u.ResidentBytes, now.ResidentBytes)
	u.PeakResidentBytes = max(u.PeakResidentBytes, now.PeakResidentBytes)
	return nil
}

// Print writes the report as aligned tables. judged tells whether the targets count: a short run is too noisy for a verdict.
func (r Report) Print(w io.Writer, judged bool) error {
	table := newTable(w)
	row := table.row
	row("%v", r.Machine)
	if r.Postgres != "" {
		row("%s", r.Postgres)
	}
	row("%d different requests of %d bytes on average, head included; median of the rounds, with the lowest and highest", r.Requests,
		r.RequestBytes)
	row("")
	row("%s\tevents/s\tbare/s\tratio\tlowest–highest\ttarget\tverdict", partHeads)
	for _, c := range r.Comparisons {
		ratios := c.Ratios()
		row("%s\t%.0f\t%.0f\t%.2f\t%.2f–%.2f\t%s\t%s", c.columns(), median(c.Rates), median(c.Bare),
			median(ratios), ratios[0], ratios[len(ratios)-1], c.targetText(), verdict(judged && c.Target > 0, c.Met()))
	}
	r.Uses.print(row)
	return table.Flush()
}

// table aligns rows of texts with tabs between.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// row adds a row. It is kept until the table is flushed, so that only Flush can fail.
func (t table) row(format string, values ...any) { _, _ = fmt.Fprintf(t, format+"\n", values...) }

// print adds an empty row and a table.
func (all Uses) print(row func(format string, values ...any)) {
	row("")
	row("%s\tprocess\tCPU/event\tmemory at the end\tpeak memory", partHeads)
	for i, u := range all {
		part := u.During.columns()
		if i > 0 && all[i-1].During == u.During {
			part = noPart
		}
		row("%s\t%s\t%s\t%s\t%s", part, u.Process, u.cpuText(), memoryText(u.ResidentBytes), memoryText(u.PeakResidentBytes))
	}
}

func (c Comparison) targetText() string {
	if c.Target == 0 {
		return "none"
	}
	return fmt.Sprintf("≥ %.2f", c.Target)
}

func verdict(judged, met bool) string {
	switch {
	case !judged:
		return "not judged"
	case met:
		return "met"
	default:
		return "MISSED"
	}
}

const notMeasured = "not measured"

func (u Use) cpuText() string {
	if !u.Measured {
		return notMeasured
	}
	return fmt.Sprintf("%.1f µs", float64(median(u.CPUPerEvent))/float64(time.Microsecond))
}

func memoryText(bytes int64) string {
	if bytes == 0 {
		return notMeasured
	}
	return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20))
}

// median returns the middle value, or the lower one of the two in the middle, which errs against us. values may be in any order.
func median[T float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
