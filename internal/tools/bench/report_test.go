package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFigure_met(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		figure   figure
		measured []float64
		met      bool
	}{
		"at most, met":            {figure{atMost: 1.5}, []float64{900, 150, 90}, true},
		"at most, missed":         {figure{atMost: 1.5}, []float64{151, 152, 90}, false},
		"at most, of two rounds":  {figure{atMost: 1.5}, []float64{90, 151}, false},
		"at least, met":           {figure{atLeast: 0.7}, []float64{70, 10, 90}, true},
		"at least, missed":        {figure{atLeast: 0.7}, []float64{69, 10, 90}, false},
		"at least, of two rounds": {figure{atLeast: 0.7}, []float64{69, 90}, false},
		"without a target":        {figure{}, []float64{1}, true},
		"round by round":          {figure{atLeast: 0.4, base: []float64{100, 200}}, []float64{50, 50}, false},
		"without a base":          {figure{atMost: 1000, base: []float64{}}, []float64{999}, true},
		"without a base, missed":  {figure{atMost: 1000, base: []float64{}}, []float64{1001}, false},
	} {
		var r results
		for i, measured := range test.measured {
			switch {
			case test.figure.base == nil:
				r.add(figure{atLeast: test.figure.atLeast, atMost: test.figure.atMost}, measured, 100)
			case len(test.figure.base) == 0:
				r.add(test.figure, measured)
			default:
				r.add(figure{atLeast: test.figure.atLeast}, measured, test.figure.base[i])
			}
		}
		if len(r.figures) != 1 || r.figures[0].met() != test.met || r.met() != test.met {
			t.Errorf("%s: met %v", name, !test.met)
		}
	}
}

func TestResults_print(t *testing.T) {
	t.Parallel()
	accept := part{"accept", postgreSQL, 2, 256}
	r := results{head: []string{"2 cores"}}
	r.add(figure{part: accept, what: "CPU an event, gateway", unit: "µs"}, 80.5)
	r.add(figure{part: accept, what: "p99", unit: "ms", atMost: 1000}, 1001)
	for _, round := range []float64{20, 90, 40} {
		r.add(figure{part: accept, unit: "/s", atLeast: 0.4}, round, 100)
	}
	r.add(figure{part: part{"get", sqlite, 1, 1}, unit: "µs", atMost: 1.5}, 160, 100)
	const want = `
variant  engine      replicas  connections  figure                 measured   compared to  ratio  lowest–highest  target  verdict
accept   PostgreSQL  2         256                                 40.0 /s    100.0 /s     0.40   0.20–0.90       ≥ 0.4   met
get      SQLite      1         1                                   160.0 µs   100.0 µs     1.60   1.60–1.60       ≤ 1.5   MISSED
accept   PostgreSQL  2         256          CPU an event, gateway  80.5 µs                                                
                                            p99                    1001.0 ms                                      ≤ 1000  MISSED
`
	var printed bytes.Buffer
	if err := r.print(&printed, true); err != nil {
		t.Fatal(err)
	}
	head, table, _ := strings.Cut(printed.String(), "the rounds.\n")
	if diff := cmp.Diff(want, table); diff != "" || !strings.HasPrefix(head, "2 cores\n") {
		t.Errorf("%s%s", head, diff)
	}
	printed.Reset()
	if err := r.print(&printed, false); err != nil || strings.Contains(printed.String(), "MISSED") ||
		strings.Contains(printed.String(), "met") {
		t.Errorf("without verdicts: %v\n%s", err, &printed)
	}
}
