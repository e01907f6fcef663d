package event

import (
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

func TestNewField_panicsForAFieldThatDoesNotFit(t *testing.T) {
	t.Parallel()
	for contract, reason := range map[string]string{
		"not_there": "Ticket has no such field",
		"revision":  "no event sets a field of its type",
	} {
		t.Run(contract, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if message, _ := recover().(string); !strings.Contains(message, contract) {
					t.Errorf("panic %q, want one that names %s: %s", message, contract, reason)
				}
			}()
			newField(ticketfields.Field{Name: "x", Contract: contract, Kind: ticketfields.String})
		})
	}
}
