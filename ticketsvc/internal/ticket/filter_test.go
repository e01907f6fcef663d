package ticket_test

import (
	"slices"
	"strings"
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
			state := ticket.NewState("t")
			for _, c := range tickettest.Changes(t, "t") {
				before := filter.Matches(&state.Ticket)
				state.Apply(&c)
				if part, matcher := state.Ticket.Filtered(), filter.Matcher(); matcher.Matches(&part, state.Ticket.Words) !=
					filter.Matches(&state.Ticket) {
					t.Fatalf("%s: the filtered part is matched otherwise than the whole ticket %+v", name, state.Ticket)
				}
				concerns := filter.Concern().Has(c.ChangedFields())
				if filter.Matches(&state.Ticket) != before && !concerns && state.Ticket.Revision > 1 {
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

func TestFilter_SelectsGroups(t *testing.T) {
	t.Parallel()
	ofGroups := []string{"statuses", "app_ids", "category_ids", "unassigned"}
	for name, filter := range single {
		if got, want := filter.SelectsGroups(), slices.Contains(ofGroups, name); got != want {
			t.Errorf("a filter with %s selects groups: %v, want %v", name, got, want)
		}
	}
	if none := (&ticket.Filter{}); !none.SelectsGroups() {
		t.Error("the zero filter does not select groups")
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

func TestFilter_Check(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		filter ticket.Filter
		want   string
	}{
		"nothing":               {ticket.Filter{}, ""},
		"as much as allowed":    {ticket.Filter{Statuses: make([]ticket.Status, 16), AppIDs: make([]string, 100)}, ""},
		"too many statuses":     {ticket.Filter{Statuses: make([]ticket.Status, 17)}, "filter.statuses"},
		"an unknown status":     {ticket.Filter{Statuses: []ticket.Status{5}}, "filter.statuses"},
		"too many Apps":         {ticket.Filter{AppIDs: make([]string, 101)}, "filter.app_ids"},
		"too many categories":   {ticket.Filter{CategoryIDs: make([]string, 101)}, "filter.category_ids"},
		"too many properties":   {ticket.Filter{PropertyIDs: make([]string, 101)}, "filter.property_ids"},
		"ids as long as can be": {ticket.Filter{AppIDs: []string{strings.Repeat("x", 256), ""}, AssigneeID: strings.Repeat("x", 256)}, ""},
		"a long App":            {ticket.Filter{AppIDs: []string{"app", strings.Repeat("x", 257)}}, "filter.app_ids"},
		"a long category":       {ticket.Filter{CategoryIDs: []string{strings.Repeat("é", 129)}}, "filter.category_ids"},
		"a long property":       {ticket.Filter{PropertyIDs: []string{strings.Repeat("x", 257)}}, "filter.property_ids"},
		"a long user":           {ticket.Filter{AssigneeID: strings.Repeat("x", 257)}, "filter.assignee_id"},
		"somebody and nobody":   {ticket.Filter{AssigneeID: "u", Unassigned: true}, "filter.assignee_id"},
		"a time out of range":   {ticket.Filter{UpdatedAfter: ticket.Instant{Set: true, Nanos: -1}}, "filter.updated_after"},
		"a text":                {ticket.Filter{Text: "Heizung kalt"}, ""},
		"as many words":         {ticket.Filter{Text: strings.Repeat("z ", 99) + "a b c d e f g h i j k l m n o"}, ""},
		"too many words":        {ticket.Filter{Text: "a b c d e f g h i j k l m n o p q"}, "filter.text"},
		"as long a text":        {ticket.Filter{Text: strings.Repeat("x", 256)}, ""},
		"a long text":           {ticket.Filter{Text: strings.Repeat("x", 257)}, "filter.text"},
		"a text without words":  {ticket.Filter{Text: " ?! \u0301"}, "filter.text"},
		"the other one":         {ticket.Filter{UpdatedBefore: ticket.Instant{Set: true, Nanos: -1}}, "filter.updated_before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var violations ticket.Violations
			test.filter.Check("filter", &violations)
			if test.want == "" && len(violations) == 0 || len(violations) == 1 && violations[0].Field == test.want {
				return
			}
			t.Errorf("violations %+v, want one of %q", violations, test.want)
		})
	}
}

func TestFilter_Matches(t *testing.T) {
	t.Parallel()
	one := ticket.Ticket{Title: "Heizung kalt", Description: "im Bad", Status: ticket.StatusClosed, AppID: "app", CategoryID: "category",
		PropertyID: "property", AssigneeID: "user", UpdateTime: tickettest.At(5)}
	for name, test := range map[string]struct {
		filter ticket.Filter
		want   bool
	}{
		"empty": {ticket.Filter{}, true},
		"all conditions": {ticket.Filter{Statuses: []ticket.Status{1, 4}, AppIDs: []string{"app"}, CategoryIDs: []string{"x", "category"},
			PropertyIDs: []string{"property"}, AssigneeID: "user", UpdatedAfter: tickettest.At(5), UpdatedBefore: tickettest.At(6),
			Text: "BÄD heiz"}, true},
		"another status":   {ticket.Filter{Statuses: []ticket.Status{1, 2}}, false},
		"another App":      {ticket.Filter{AppIDs: []string{"x"}}, false},
		"another category": {ticket.Filter{CategoryIDs: []string{"x"}}, false},
		"another property": {ticket.Filter{PropertyIDs: []string{"x"}}, false},
		"another user":     {ticket.Filter{AssigneeID: "x"}, false},
		"nobody":           {ticket.Filter{Unassigned: true}, false},
		"later":            {ticket.Filter{UpdatedAfter: tickettest.At(6)}, false},
		"another word":     {ticket.Filter{Text: "heizung küche"}, false},
		"an end of a word": {ticket.Filter{Text: "zung"}, false},
		"over two words":   {ticket.Filter{Text: "kaltim"}, false},
		"before":           {ticket.Filter{UpdatedBefore: tickettest.At(5)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := test.filter.Matches(&one); got != test.want {
				t.Errorf("matches %v, want %v", got, test.want)
			}
		})
	}
}

func TestFilter_Normal_isInOrderAndSharesNothing(t *testing.T) {
	t.Parallel()
	given := ticket.Filter{AppIDs: []string{"b", "a", "b"}}
	normal := given.Normal()
	if !slices.Equal(normal.AppIDs, []string{"a", "b"}) || !slices.Equal(given.AppIDs, []string{"b", "a", "b"}) {
		t.Errorf("normal %q of %q", normal.AppIDs, given.AppIDs)
	}
}
