package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// results are the figures of a run.
type results struct {
	// head has lines about the machine and the measured data.
	head    []string
	figures []figure
}

// part is a measurement that is made once in each round.
type part struct {
	variant, engine string
	// replicas is the number of replicas of each service. connections is the number of requests in flight at the same time.
	replicas, connections int
}

// String returns the part's name for a line of text.
func (p part) String() string {
	return fmt.Sprintf("%s, %s, replicas %d, connections %d", p.variant, p.engine, p.replicas, p.connections)
}

// figure is a number that is measured in each round. It may be compared to a base.
type figure struct {
	part
	// what is the figure's name. It is empty for the figure of a part that has a base.
	what, unit string
	// atLeast and atMost are targets for the ratio to the base if there is a base, otherwise for the figure. 0 means none.
	atLeast, atMost float64
	// measured has an entry for each round. base has one too, or is empty.
	measured, base []float64
}

// add adds the result of a round to a figure. base is the result of the base, if there is one.
func (r *results) add(of figure, measured float64, base ...float64) {
	i := slices.IndexFunc(r.figures, func(f figure) bool { return f.part == of.part && f.what == of.what })
	if i < 0 {
		i = len(r.figures)
		r.figures = append(r.figures, of)
	}
	f := &r.figures[i]
	f.measured, f.base = append(f.measured, measured), append(f.base, base...)
}

// compared returns the values to which the targets apply, from the lowest to the highest: ratios if there is a base, otherwise the figure.
func (f figure) compared() []float64 {
	values := slices.Clone(f.measured)
	for i, base := range f.base {
		values[i] /= base
	}
	slices.Sort(values)
	return values
}

// middle returns the median of [figure.compared]. If the number of rounds is even, it returns the worse one of the two in the middle.
func (f figure) middle() float64 {
	values := f.compared()
	if f.atMost > 0 {
		return values[len(values)/2]
	}
	return median(values)
}

func (f figure) met() bool {
	return f.middle() >= f.atLeast && (f.atMost == 0 || f.middle() <= f.atMost)
}

// met reports whether every target is met.
func (r *results) met() bool {
	return !slices.ContainsFunc(r.figures, func(f figure) bool { return !f.met() })
}

// columns returns the figure's columns of the report, without those of its part. If verdicts is set, the targets are checked.
func (f figure) columns(verdicts bool) string {
	compared := "\t\t"
	if len(f.base) > 0 {
		ratios := f.compared()
		compared = fmt.Sprintf("%.1f %s\t%.2f\t%.2f–%.2f", median(f.base), f.unit, f.middle(), ratios[0], ratios[len(ratios)-1])
	}
	target, verdict := "", ""
	if f.atMost > 0 {
		target = fmt.Sprint("≤ ", f.atMost)
	} else if f.atLeast > 0 {
		target = fmt.Sprint("≥ ", f.atLeast)
	}
	if verdicts && !f.met() {
		verdict = "MISSED"
	} else if verdicts && target != "" {
		verdict = "met"
	}
	return fmt.Sprintf("%s\t%.1f %s\t%s\t%s\t%s", f.what, median(f.measured), f.unit, compared, target, verdict)
}

// print writes an aligned table. If verdicts is set, the targets are checked. A short run is too noisy for that.
func (r *results) print(w io.Writer, verdicts bool) error {
	// The table keeps its lines until Flush, so that only Flush can fail.
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(line string) { _, _ = fmt.Fprintln(table, line) }
	for _, line := range r.head {
		row(line)
	}
	row("Each figure is the median of the rounds.\n")
	row("variant\tengine\treplicas\tconnections\tfigure\tmeasured\tcompared to\tratio\tlowest–highest\ttarget\tverdict")
	// Figures with a ratio come first.
	slices.SortStableFunc(r.figures, func(a, b figure) int { return cmp.Compare(len(b.base), len(a.base)) })
	var last part
	for _, f := range r.figures {
		columns := fmt.Sprintf("%s\t%s\t%d\t%d", f.variant, f.engine, f.replicas, f.connections)
		if f.part == last {
			columns = "\t\t\t"
		}
		last = f.part
		row(columns + "\t" + f.columns(verdicts))
	}
	return table.Flush()
}

// median returns the middle value, or the lower one of the two in the middle. values may be in any order.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
