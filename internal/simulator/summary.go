package simulator

import (
	"fmt"
	"io"
	"maps"
	"math/bits"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"
)

// Summary is the result of [Send].
type Summary struct {
	// Events is the number of events that were sent, without duplicates. Each is acknowledged or given up. If sending was cut off, some events
	// are neither.
	Events, Acknowledged, GivenUp int
	// Deliveries is the number of tries. Retries and Duplicates are parts of it.
	Deliveries, Retries, Duplicates int
	// StatusCounts counts the answers by HTTP status code. Tries without an answer count under 0.
	StatusCounts map[int]int
	// P50, P95 and P99 are percentiles of the time until the answer, over the tries with an answer. They are up to 3 % too high.
	P50, P95, P99 time.Duration
	// Duration is the time from the start to the last answer.
	Duration time.Duration
}

// AllAcknowledged reports whether every event that was sent got a 2xx.
func (s Summary) AllAcknowledged() bool { return s.Acknowledged == s.Events }

// Rate returns the number of deliveries per second.
func (s Summary) Rate() float64 {
	if s.Duration <= 0 {
		return 0
	}
	return float64(s.Deliveries) / s.Duration.Seconds()
}

// Print writes the summary as an aligned table.
func (s Summary) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// The table keeps its rows until it is flushed, so only Flush can fail.
	row := func(name, format string, values ...any) { _, _ = fmt.Fprintf(table, name+"\t"+format+"\n", values...) }
	row("events", "%d", s.Events)
	row("acknowledged", "%d", s.Acknowledged)
	row("given up", "%d", s.GivenUp)
	row("deliveries", "%d", s.Deliveries)
	row("retries", "%d", s.Retries)
	row("duplicates", "%d", s.Duplicates)
	for _, status := range slices.Sorted(maps.Keys(s.StatusCounts)) {
		row(statusName(status), "%d", s.StatusCounts[status])
	}
	row("latency p50, p95, p99", "%v, %v, %v", roundLatency(s.P50), roundLatency(s.P95), roundLatency(s.P99))
	row("duration", "%v", s.Duration.Round(time.Millisecond))
	row("rate", "%.1f/s", s.Rate())
	return table.Flush()
}

func statusName(status int) string {
	if status == 0 {
		return "no answer"
	}
	return fmt.Sprintf("%d %s", status, http.StatusText(status))
}

func roundLatency(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(10 * time.Microsecond)
}

func (s *sender) snapshot() Summary {
	summary := s.summary
	summary.StatusCounts = maps.Clone(summary.StatusCounts)
	summary.P50, summary.P95, summary.P99 = s.latency.quantile(0.50), s.latency.quantile(0.95), s.latency.quantile(0.99)
	summary.Duration = time.Since(s.started)
	return summary
}

// latencies is a histogram in fixed memory. Each power of two of microseconds is split into 32 buckets, so a value is exact to about 3 %.
type latencies struct {
	counts [subBuckets * 48]int
	total  int
}

const (
	subBucketBits = 5
	subBuckets    = 1 << subBucketBits
)

func (l *latencies) add(d time.Duration) {
	l.counts[min(bucket(uint64(max(0, d.Microseconds()))), len(l.counts)-1)]++
	l.total++
}

// quantile returns the upper end of the bucket with the q-quantile.
func (l *latencies) quantile(q float64) time.Duration {
	rank := int(q * float64(l.total))
	for i, count := range l.counts {
		if rank -= count; rank < 0 {
			return time.Duration(upperEnd(i)) * time.Microsecond
		}
	}
	return 0
}

// bucket returns the index of the bucket for v. Small values have one bucket each, larger ones a bucket by their leading bits.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-subBucketBits-1)
	return shift<<subBucketBits + int(v>>shift)
}

// upperEnd returns the largest value of a bucket.
func upperEnd(bucket int) uint64 {
	shift := max(0, bucket>>subBucketBits-1)
	leading := uint64(bucket - shift<<subBucketBits)
	return (leading+1)<<shift - 1
}
