package ticket_test

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

func TestSortableTextsSortAsMomentsDo(t *testing.T) {
	t.Parallel()
	instants := rapid.Custom(func(t *rapid.T) ticket.Instant {
		if rapid.IntRange(0, 9).Draw(t, "none") == 0 {
			return ticket.Instant{}
		}
		return ticket.Instant{Set: true, Seconds: rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"),
			Nanos: rapid.Int32Range(0, 999_999_999).Draw(t, "nanos")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := instants.Draw(t, "a"), instants.Draw(t, "b")
		if got, want := cmp.Compare(a.SortableText(), b.SortableText()), a.Compare(b); got != want {
			t.Fatalf("texts %q and %q compare as %d, the moments as %d", a.SortableText(), b.SortableText(), got, want)
		}
		if got, err := ticket.ParseSortableText(a.SortableText()); err != nil || got != a {
			t.Fatalf("%+v comes back as %+v, %v", a, got, err)
		}
	})
}

func TestSortableTextsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"personal", "0000-01-01T00:00:00.000000000Z", "2026-03-02T07:15:30Z0"} {
		if got, err := ticket.ParseSortableText(text); err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("ParseSortableText(%q) = %+v, %v, want an error that does not repeat what is stored", text, got, err)
		}
	}
}

func TestValidInstants(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		instant ticket.Instant
		want    bool
	}{
		{ticket.Instant{}, true},
		{ticket.Instant{Set: true, Seconds: -62135596800}, true},
		{ticket.Instant{Set: true, Seconds: -62135596801, Nanos: 999_999_999}, false},
		{ticket.Instant{Set: true, Seconds: 253402300799, Nanos: 999_999_999}, true},
		{ticket.Instant{Set: true, Seconds: 253402300800}, false},
		{ticket.Instant{Set: true, Nanos: 1_000_000_000}, false},
		{ticket.Instant{Set: true, Nanos: -1}, false},
		{ticket.Instant{Nanos: 1}, false},
	} {
		if got := test.instant.Valid(); got != test.want {
			t.Errorf("%+v: valid %v, want %v", test.instant, got, test.want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]ticket.Status{
		"": 0, "waiting-for-agent": 1, "waiting-for-customer": 2, "waiting-for-external": 3, "closed": 4, "Closed": 0, "waiting-for-godot": 0,
	} {
		if got := ticket.ParseStatus(word); got != want {
			t.Errorf("ParseStatus(%q) = %d, want %d", word, got, want)
		}
	}
}

func TestPageSize(t *testing.T) {
	t.Parallel()
	for requested, want := range map[int32]int{0: 50, 1: 1, 1000: 1000, 1001: 1000, 1_000_000_000: 1000} {
		if got, ok := ticket.PageSize(requested); got != want || !ok {
			t.Errorf("PageSize(%d) = %d, %v; want %d", requested, got, ok, want)
		}
	}
	for _, requested := range []int32{-1, math.MinInt32} {
		if _, ok := ticket.PageSize(requested); ok {
			t.Errorf("PageSize(%d) is accepted", requested)
		}
	}
}

func TestParseOrder(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ticket.Order{
		"":                 {Time: ticket.ByUpdateTime, Descending: true},
		"update_time":      {Time: ticket.ByUpdateTime},
		"update_time desc": {Time: ticket.ByUpdateTime, Descending: true},
		"create_time":      {Time: ticket.ByCreateTime},
		"create_time desc": {Time: ticket.ByCreateTime, Descending: true},
	} {
		if got, ok := ticket.ParseOrder(text); got != want || !ok {
			t.Errorf("ParseOrder(%q) = %+v, %v; want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		" desc", "desc", "title", "update_time asc", "update_time DESC", "update_time, create_time", "update_time desc desc",
	} {
		if got, ok := ticket.ParseOrder(text); ok {
			t.Errorf("ParseOrder(%q) = %+v", text, got)
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
