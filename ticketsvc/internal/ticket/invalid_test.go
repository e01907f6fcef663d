package ticket_test

import (
	"strconv"
	"testing"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// TestViolations_Add_cap has a request with far more violations than are kept. Each violation is compared with the earlier ones.
func TestViolations_Add_cap(t *testing.T) {
	t.Parallel()
	var violations ticket.Violations
	for range 2 {
		for i := range 1000 {
			violations.Add(strconv.Itoa(i), "is wrong")
		}
	}
	if len(violations) != 20 || violations[0].Field != "0" || violations[19].Field != "19" {
		t.Errorf("%d violations: %v", len(violations), violations.Err())
	}
}
