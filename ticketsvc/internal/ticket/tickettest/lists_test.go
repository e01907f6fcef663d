package tickettest

import "testing"

// TestMixedFilters_haveEveryField checks that the suite of the stores tries each condition of the contract.
func TestMixedFilters_haveEveryField(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{}
	for _, filter := range mixedFilters {
		for _, c := range filter.Conditions() {
			tried[c.Name] = true
		}
	}
	for field := range FilterFields() {
		if !tried[string(field.Name())] {
			t.Errorf("mixedFilters has no filter with %s", field.Name())
		}
	}
}
