package ticket_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// single are filters with one condition each, by the name of the field in [ticket.Filter].
var single = map[string]ticket.Filter{
	"Statuses":      {Statuses: []ticket.Status{ticket.StatusClosed}},
	"AppIDs":        {AppIDs: []string{"a"}},
	"CategoryIDs":   {CategoryIDs: []string{"a"}},
	"PropertyIDs":   {PropertyIDs: []string{"a", ""}},
	"AssigneeID":    {AssigneeID: "a"},
	"Unassigned":    {Unassigned: true},
	"UpdatedAfter":  {UpdatedAfter: tickettest.At(2)},
	"UpdatedBefore": {UpdatedBefore: tickettest.At(2)},
	"Text":          {Text: "a"},
}

// TestAnEventThatDoesNotConcernAFilterChangesNothingForIt justifies that a watcher skips the events outside the [ticket.Concern] of its
// filter.
func TestAnEventThatDoesNotConcernAFilterChangesNothingForIt(t *testing.T) {
	t.Parallel()
	for field := range reflect.TypeFor[ticket.Filter]().Fields() {
		filter, ok := single[field.Name]
		if !ok {
			t.Errorf("no filter of the condition %s is tried", field.Name)
		}
		concerned, passed := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			record := ticket.NewState("t")
			for _, c := range tickettest.Changes(t, "t") {
				before := filter.Matches(&record.Ticket)
				record.Apply(&c)
				if part, matcher := record.Ticket.Filtered(), filter.Matcher(); matcher.Matches(&part, record.Ticket.Words) !=
					filter.Matches(&record.Ticket) {
					t.Fatalf("%s: what a filter looks at is matched otherwise than the whole ticket %+v", field.Name, record.Ticket)
				}
				concerns := filter.Concern().Has(c.ChangedFields())
				if filter.Matches(&record.Ticket) != before && !concerns && record.Ticket.Revision > 1 {
					t.Fatalf("the filter's %s does not concern an event that named %v", field.Name, c.ChangedFields())
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
	if all := (ticket.Filter{}); all.Concern().Has(ticket.ChangedFields{Fields: tickettest.Named("title", "status_text")}) {
		t.Error("an event concerns the filter that matches all tickets")
	}
}

func TestFilter_ScansToList(t *testing.T) {
	t.Parallel()
	updated, created := ticket.Order{Time: ticket.ByUpdateTime}, ticket.Order{Time: ticket.ByCreateTime}
	for name, test := range map[string]struct {
		filter             ticket.Filter
		count              bool
		byUpdate, byCreate bool
	}{
		"all":                           {ticket.Filter{}, false, false, false},
		"statuses":                      {single["Statuses"], false, true, true},
		"apps":                          {single["AppIDs"], false, true, true},
		"categories":                    {single["CategoryIDs"], false, true, true},
		"unassigned":                    {single["Unassigned"], false, true, true},
		"a text":                        {single["Text"], true, true, true},
		"a text of one user":            {ticket.Filter{Text: "a", AssigneeID: "u"}, true, true, true},
		"one user":                      {single["AssigneeID"], true, false, false},
		"one user's open ones":          {ticket.Filter{AssigneeID: "u", Statuses: []ticket.Status{ticket.StatusClosed}}, true, false, false},
		"one property":                  {ticket.Filter{PropertyIDs: []string{"a"}}, true, false, false},
		"one property or none":          {single["PropertyIDs"], true, true, true},
		"changed since":                 {single["UpdatedAfter"], true, false, true},
		"changed before":                {single["UpdatedBefore"], true, false, true},
		"changed since, and unassigned": {ticket.Filter{UpdatedAfter: tickettest.At(2), Unassigned: true}, true, true, true},
	} {
		if got := test.filter.ScansToCount(); got != test.count {
			t.Errorf("%s: to count scans: %v, want %v", name, got, test.count)
		}
		if got := test.filter.ScansToList(updated); got != test.byUpdate {
			t.Errorf("%s: a list by update_time scans: %v, want %v", name, got, test.byUpdate)
		}
		if got := test.filter.ScansToList(created); got != test.byCreate {
			t.Errorf("%s: a list by create_time scans: %v, want %v", name, got, test.byCreate)
		}
	}
}
