package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// ReadReport is what [RunReads] measured.
type ReadReport struct {
	Machine Machine
	// Postgres says which server was measured, as in [Report].
	Postgres string
	// Few, Many, Page and Watchers are those of [ReadOptions].
	Few, Many, Page, Watchers int
	Ratios                    []Ratio
	Lags                      []Lag
	Uses                      Uses
}

// Ratio compares one figure to another, round by round.
type Ratio struct {
	Variant, Engine string
	// Unit is that of the figures.
	Unit string
	// AtMost and AtLeast are the bounds of the median ratio that are wanted. 0 means none.
	AtMost, AtLeast float64
	// Base and Compared have an entry for each round.
	Base, Compared []float64
}

// Ratios returns the ratio of each round, from the lowest to the highest.
func (r Ratio) Ratios() []float64 {
	ratios := make([]float64, 0, len(r.Base))
	for i, base := range r.Base {
		ratios = append(ratios, r.Compared[i]/base)
	}
	slices.Sort(ratios)
	return ratios
}

// middle returns the median ratio; of an even number of rounds the one in the middle that is worse for us.
func (r Ratio) middle() float64 {
	ratios := r.Ratios()
	if r.AtMost > 0 {
		return ratios[len(ratios)/2]
	}
	return median(ratios)
}

// Met tells whether the median ratio is within the bounds.
func (r Ratio) Met() bool {
	middle := r.middle()
	return middle >= r.AtLeast && (r.AtMost == 0 || middle <= r.AtMost)
}

func (r Ratio) targetText() string {
	switch {
	case r.AtMost > 0:
		return fmt.Sprintf("≤ %.2f", r.AtMost)
	case r.AtLeast > 0:
		return fmt.Sprintf("≥ %.2f", r.AtLeast)
	default:
		return "none"
	}
}

// Lag is how long after the answer to whoever recorded an event a watcher has it. One that has it before counts as 0.
type Lag struct {
	Variant, Engine string
	// Rate is how many events a second were recorded.
	Rate float64
	// Messages is how many the watchers got, all together.
	Messages int
	// P50, P99 and Longest are of all messages; of the call that recorded, Call is the median time.
	P50, P99, Longest, Call time.Duration
}

// newLag returns a lag of these times, which it sorts.
func newLag(lag Lag, lags, calls []time.Duration) (Lag, error) {
	if len(lags) == 0 || len(calls) == 0 {
		return Lag{}, errors.New("no watcher heard of any event")
	}
	slices.Sort(lags)
	last := len(lags) - 1
	lag.Messages, lag.P50, lag.P99, lag.Longest, lag.Call = len(lags), lags[last/2], lags[last*99/100], lags[last], median(calls)
	return lag, nil
}

// Met tells whether every target is met.
func (r ReadReport) Met() bool {
	return !slices.ContainsFunc(r.Ratios, func(r Ratio) bool { return !r.Met() })
}

// addRatio notes a round of a comparison.
func (r *ReadReport) addRatio(of Ratio, base, compared float64) {
	i := slices.IndexFunc(r.Ratios, func(r Ratio) bool { return r.Variant == of.Variant && r.Engine == of.Engine })
	if i < 0 {
		i = len(r.Ratios)
		r.Ratios = append(r.Ratios, of)
	}
	r.Ratios[i].Base, r.Ratios[i].Compared = append(r.Ratios[i].Base, base), append(r.Ratios[i].Compared, compared)
}

// Print writes the report as aligned tables. judged tells whether the targets count, as in [Report.Print].
func (r ReadReport) Print(w io.Writer, judged bool) error {
	table := newTable(w)
	table.row("%v", r.Machine)
	if r.Postgres != "" {
		table.row("%s", r.Postgres)
	}
	table.row("GetTicket, GetTicketStats: the time of a call with %s tickets, compared to that with %s.", thousands(r.Many), thousands(r.Few))
	table.row("ListTickets: the time of page %s of %d tickets each, compared to that of page 1, with %s tickets.", thousands(r.Page), pageSize,
		thousands(r.Many))
	table.row("recording: the events a second with %s watchers, compared to those with none; \"until told\" up to when each has heard of all.",
		thousands(r.Watchers))
	table.row("The callers and the watchers share the machine with the service, and take from it what the last table says.")
	table.row("Each is the median of the rounds, with the lowest and highest ratio.")
	table.row("")
	table.row("variant\tengine\tcompared\tto\tratio\tlowest–highest\ttarget\tverdict")
	for _, c := range r.Ratios {
		ratios := c.Ratios()
		table.row("%s\t%s\t%.0f %s\t%.0f %s\t%.2f\t%.2f–%.2f\t%s\t%s", c.Variant, c.Engine, median(c.Compared), c.Unit, median(c.Base), c.Unit,
			c.middle(), ratios[0], ratios[len(ratios)-1], c.targetText(), verdict(judged && (c.AtMost > 0 || c.AtLeast > 0), c.Met()))
	}
	table.row("")
	table.row("lag from the answer to who recorded\tengine\tevents/s\tmessages\tp50\tp99\tlongest\tmedian call")
	for _, l := range r.Lags {
		table.row("%s\t%s\t%.0f\t%d\t%s\t%s\t%s\t%s", l.Variant, l.Engine, l.Rate, l.Messages, milliseconds(l.P50), milliseconds(l.P99),
			milliseconds(l.Longest), milliseconds(l.Call))
	}
	r.Uses.print(table.row)
	return table.Flush()
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
