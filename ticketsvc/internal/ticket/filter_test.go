package ticket_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// single are filters of one condition each, by the condition's name in [ticket.Filter].
var single = map[string]ticket.Filter{
	"Statuses":      {Statuses: []ticket.Status{ticket.StatusClosed}},
	"AppIDs":        {AppIDs: []string{"a"}},
	"CategoryIDs":   {CategoryIDs: []string{"a"}},
	"PropertyIDs":   {PropertyIDs: []string{"a", ""}},
	"AssignedTo":    {AssignedTo: "a"},
	"Unassigned":    {Unassigned: true},
	"UpdatedAfter":  {UpdatedAfter: tickettest.At(2)},
	"UpdatedBefore": {UpdatedBefore: tickettest.At(2)},
	"Text":          {Text: "a"},
}

// TestAnEventThatDoesNotConcernAFilterChangesNothingForIt lets a watcher pass over the events that are no concern of its filter.
func TestAnEventThatDoesNotConcernAFilterChangesNothingForIt(t *testing.T) {
	t.Parallel()
	for field := range reflect.TypeFor[ticket.Filter]().Fields() {
		filter, ok := single[field.Name]
		if !ok {
			t.Errorf("no filter of the condition %s is tried", field.Name)
		}
		concerned, passed := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			record := ticket.NewRecord("t")
			for _, c := range tickettest.Changes(t, "t") {
				before := filter.Matches(&record.Ticket)
				record.Apply(&c)
				if part, matcher := record.Ticket.Filtered(), filter.Matcher(); matcher.Matches(&part, record.Ticket.Words) !=
					filter.Matches(&record.Ticket) {
					t.Fatalf("%s: what a filter looks at is matched otherwise than the whole ticket %+v", field.Name, record.Ticket)
				}
				concerns := filter.Concern().Has(c.Content())
				if filter.Matches(&record.Ticket) != before && !concerns && record.Ticket.Revision > 1 {
					t.Fatalf("the filter's %s does not concern an event that named %v", field.Name, c.Content())
				}
				if concerns {
					concerned++
				} else {
					passed++
				}
			}
		})
		if concerned == 0 || passed == 0 && field.Type != reflect.TypeFor[ticket.Instant]() {
			t.Errorf("%s concerned %d events, and %d not", field.Name, concerned, passed)
		}
	}
	if all := (ticket.Filter{}); all.Concern().Has(ticket.Content{Named: tickettest.Named("title", "status_text")}) {
		t.Error("an event concerns the filter that matches all tickets")
	}
}
