package ticket_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// single are filters with one condition each, by the name of its field in the contract.
var single = map[string]ticket.Filter{
	"statuses":       {Statuses: []ticket.Status{ticket.StatusClosed}},
	"app_ids":        {AppIDs: []string{"a"}},
	"category_ids":   {CategoryIDs: []string{"a"}},
	"property_ids":   {PropertyIDs: []string{"a", ""}},
	"assignee_id":    {AssigneeID: "a"},
	"unassigned":     {Unassigned: true},
	"updated_after":  {UpdatedAfter: tickettest.At(2)},
	"updated_before": {UpdatedBefore: tickettest.At(2)},
	"text":           {Text: "a"},
}

// TestFilter_Concern_hasEveryEventThatCanMatter justifies that a watcher skips the events outside the [ticket.Concern] of its filter. It
// also checks that [ticket.Ticket.Filtered] is enough for the watcher's [ticket.Matcher].
func TestFilter_Concern_hasEveryEventThatCanMatter(t *testing.T) {
	t.Parallel()
	for field := range tickettest.FilterFields() {
		name := string(field.Name())
		filter, ok := single[name]
		if !ok {
			t.Errorf("no filter with %s is tried", name)
		}
		concerned, passed := 0, 0
		rapid.Check(t, func(t *rapid.T) {
			record := ticket.NewState("t")
			for _, c := range tickettest.Changes(t, "t") {
				before := filter.Matches(&record.Ticket)
				record.Apply(&c)
				if part, matcher := record.Ticket.Filtered(), filter.Matcher(); matcher.Matches(&part, record.Ticket.Words) !=
					filter.Matches(&record.Ticket) {
					t.Fatalf("%s: the filtered part is matched otherwise than the whole ticket %+v", name, record.Ticket)
				}
				concerns := filter.Concern().Has(c.ChangedFields())
				if filter.Matches(&record.Ticket) != before && !concerns && record.Ticket.Revision > 1 {
					t.Fatalf("the filter's %s does not concern an event that named %v", name, c.ChangedFields())
				}
				if concerns {
					concerned++
				} else {
					passed++
				}
			}
		})
		if concerned == 0 || passed == 0 && field.Message() == nil {
			t.Errorf("%s concerned %d events, and %d not", name, concerned, passed)
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
		"statuses":                      {single["statuses"], false, true, true},
		"apps":                          {single["app_ids"], false, true, true},
		"categories":                    {single["category_ids"], false, true, true},
		"unassigned":                    {single["unassigned"], false, true, true},
		"a text":                        {single["text"], true, true, true},
		"a text of one user":            {ticket.Filter{Text: "a", AssigneeID: "u"}, true, true, true},
		"one user":                      {single["assignee_id"], true, false, false},
		"one user's open ones":          {ticket.Filter{AssigneeID: "u", Statuses: []ticket.Status{ticket.StatusClosed}}, true, false, false},
		"one property":                  {ticket.Filter{PropertyIDs: []string{"a"}}, true, false, false},
		"one property or none":          {single["property_ids"], true, true, true},
		"changed since":                 {single["updated_after"], true, false, true},
		"changed before":                {single["updated_before"], true, false, true},
		"changed since, and unassigned": {ticket.Filter{UpdatedAfter: tickettest.At(2), Unassigned: true}, true, true, true},
	} {
		if got := !test.filter.SelectsGroups(); got != test.count {
			t.Errorf("%s: to count reads tickets: %v, want %v", name, got, test.count)
		}
		if got := test.filter.ScansToList(updated); got != test.byUpdate {
			t.Errorf("%s: a list by update_time scans: %v, want %v", name, got, test.byUpdate)
		}
		if got := test.filter.ScansToList(created); got != test.byCreate {
			t.Errorf("%s: a list by create_time scans: %v, want %v", name, got, test.byCreate)
		}
	}
}
