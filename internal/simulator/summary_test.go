package simulator_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

func TestSummary_Print(t *testing.T) {
	t.Parallel()
	summary := simulator.Summary{
		Events: 100, Acknowledged: 99, GivenUp: 1, Deliveries: 120, Retries: 10, Duplicates: 10,
		StatusCounts: map[int]int{200: 109, 503: 9, 0: 2},
		P50:          250 * time.Microsecond, P95: 1234567, P99: time.Second, Duration: 2 * time.Second,
	}
	var got bytes.Buffer
	if err := summary.Print(&got); err != nil {
		t.Fatal(err)
	}
	want := `events                   100
acknowledged             99
given up                 1
deliveries               120
retries                  10
duplicates               10
no answer                2
200 OK                   109
503 Service Unavailable  9
latency p50, p95, p99    250µs, 1.23ms, 1s
duration                 2s
rate                     60.0/s
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}
