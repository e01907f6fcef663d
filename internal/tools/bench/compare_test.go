package main

import "testing"

func TestChange(t *testing.T) {
	t.Parallel()
	for want, ratios := range map[string][]float64{
		"-3.0 ± 0.0 %": {0.97},
		"+0.0 ± 0.0 %": {1, 1, 1, 1},
		// The middle half is from 0.99 to 1.03, so the interval is 1.96 · 1.253 / 1.349 · 0.04 / √5. The turn that was disturbed changes neither.
		"+1.0 ± 3.3 %": {1.03, 0.5, 1.01, 1.05, 0.99},
	} {
		if got := change(ratios); got != want {
			t.Errorf("change(%v) is %q, want %q", ratios, got, want)
		}
	}
}
