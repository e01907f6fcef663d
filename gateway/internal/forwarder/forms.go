package forwarder

import (
	"time"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
)

// formInterval is the minimum time between two logs of the same form of a field.
const formInterval = time.Hour

// logForms logs the values of a forwarded event that a ticket's fields can't hold, by field and form. There are a few hundred such pairs,
// because a finding names only fields of the provider's contract.
func (f *Forwarder) logForms(findings []event.Finding) {
	for _, finding := range findings {
		if !finding.Kept {
			continue
		}
		if count, ok := f.formWarnings.Allow(finding, f.options.Now()); ok {
			f.options.Log.Warn("a field can't be typed and is kept among the ticket's attributes; gateway explain shows more",
				"field", finding.Field, "form", finding.Form, "count", count)
		}
	}
}
