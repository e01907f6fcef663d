package ticket

import (
	"cmp"
	"slices"
	"strings"
)

// The maximum numbers of values in a filter's lists.
const (
	maxFilterStatuses = 16
	maxFilterIDs      = 100
)

// Filter selects the tickets that meet every condition that is set. The zero filter matches all tickets.
type Filter struct {
	// Statuses are the allowed statuses of the ticket. Empty allows any.
	Statuses []Status
	// AppIDs are the Apps that the ticket may belong to. Empty allows any.
	AppIDs []string
	// CategoryIDs are the allowed categories of the ticket. Empty allows any.
	CategoryIDs []string
	// PropertyIDs are the allowed properties of the ticket. Empty allows any.
	PropertyIDs []string
	// AssigneeID, if not empty, is the user to whom the ticket is assigned.
	AssigneeID string
	// Unassigned, if set, requires that the ticket is assigned to nobody.
	Unassigned bool
	// UpdatedAfter, if set, is the earliest update time of the ticket.
	UpdatedAfter Instant
	// UpdatedBefore, if set, is later than the ticket's update time.
	UpdatedBefore Instant
	// Text, if not empty, is a search: each word of [Filter.Words] must be the beginning of a word of [Ticket.Words], which come from the
	// title and the description.
	Text string
}

// Check adds a violation for everything that is wrong with the filter. path is the path of the filter in its request.
//
// An id may have [MaxIDBytes], because databases need a limit for what they look up. If an event gave a ticket a longer id, no filter can
// ask for that id.
func (f *Filter) Check(path string, violations *Violations) {
	if len(f.Statuses) > maxFilterStatuses {
		violations.Add(path+".statuses", "must have at most 16 values")
	}
	for _, status := range f.Statuses {
		if status < StatusUnspecified || status > StatusClosed {
			violations.Add(path+".statuses", "must be statuses that this version knows")
			break
		}
	}
	for _, list := range []struct {
		name string
		ids  []string
	}{{".app_ids", f.AppIDs}, {".category_ids", f.CategoryIDs}, {".property_ids", f.PropertyIDs}} {
		if len(list.ids) > maxFilterIDs {
			violations.Add(path+list.name, "must have at most 100 values")
		}
		for _, id := range list.ids {
			violations.checkIDSize(path+list.name, id)
		}
	}
	violations.checkIDSize(path+".assignee_id", f.AssigneeID)
	if f.AssigneeID != "" && f.Unassigned {
		violations.Add(path+".assignee_id", "can't be set together with unassigned")
	}
	for _, bound := range []struct {
		name string
		time Instant
	}{{".updated_after", f.UpdatedAfter}, {".updated_before", f.UpdatedBefore}} {
		if !bound.time.Valid() {
			violations.Add(path+bound.name, "must be a time in the years 1 to 9999")
		}
	}
	f.checkText(path+".text", violations)
}

func (f *Filter) checkText(field string, violations *Violations) {
	if len(f.Text) > maxTextBytes {
		violations.Add(field, "must have at most 256 bytes")
		return
	}
	if words := len(f.Words()); words > maxTextWords {
		violations.Add(field, "must have at most 16 words")
	} else if words == 0 && f.Text != "" {
		violations.Add(field, "must have a letter or a digit")
	}
}

// Matches reports whether the filter selects t. It defines the result that stores must return. Code that checks many tickets uses a
// [Matcher].
func (f *Filter) Matches(t *Ticket) bool {
	m := f.Matcher()
	return m.Matches(t, t.Words)
}

// Matcher is a filter whose text is already split into words. It is safe for concurrent use.
type Matcher struct {
	filter Filter
	words  []string
}

// Matcher returns a matcher that selects the same tickets as the filter.
func (f *Filter) Matcher() Matcher { return Matcher{filter: *f, words: f.Words()} }

// Matches reports whether the filter selects t. words returns the words of t. It is called only if the result depends on the words.
func (m *Matcher) Matches(t *Ticket, words func() string) bool {
	f := &m.filter
	return isOneOf(f.Statuses, t.Status) &&
		isOneOf(f.AppIDs, t.AppID) &&
		isOneOf(f.CategoryIDs, t.CategoryID) &&
		isOneOf(f.PropertyIDs, t.PropertyID) &&
		(f.AssigneeID == "" || t.AssigneeID == f.AssigneeID) &&
		(!f.Unassigned || t.AssigneeID == "") &&
		(!f.UpdatedAfter.Set || t.UpdateTime.Compare(f.UpdatedAfter) >= 0) &&
		(!f.UpdatedBefore.Set || t.UpdateTime.Compare(f.UpdatedBefore) < 0) &&
		(len(m.words) == 0 || hasWords(words(), m.words))
}

// Filtered returns the fields of the ticket that a [Matcher] reads, without the texts that the words come from.
func (t *Ticket) Filtered() Ticket {
	return Ticket{ID: t.ID, Status: t.Status, AppID: t.AppID, CategoryID: t.CategoryID, PropertyID: t.PropertyID, AssigneeID: t.AssigneeID,
		UpdateTime: t.UpdateTime}
}

// Concern is the set of events that can change whether a filter selects their tickets.
type Concern struct {
	// Fields are the fields that the filter reads, except the update time.
	Fields FieldSet
	// Every is set if the set has all events. This is so if the filter reads the update time, which any event can change.
	Every bool
}

// Concern returns the set of events that can change whether the filter selects their tickets.
func (f *Filter) Concern() Concern {
	c := Concern{Every: f.UpdatedAfter.Set || f.UpdatedBefore.Set}
	for _, condition := range []struct {
		set   bool
		field Field
	}{
		{len(f.Statuses) > 0, statusTextField},
		{len(f.AppIDs) > 0, appIDField},
		{len(f.CategoryIDs) > 0, categoryIDField},
		{len(f.PropertyIDs) > 0, propertyIDField},
		{f.AssigneeID != "" || f.Unassigned, assigneeIDField},
		{f.Text != "", titleField},
		{f.Text != "", descriptionField},
	} {
		if condition.set {
			c.Fields = c.Fields.With(condition.field)
		}
	}
	return c
}

// Has reports whether the set has an event that named content.
func (c Concern) Has(content ChangedFields) bool { return c.Every || c.Fields&content.Fields != 0 }

// SelectsGroups reports whether the filter reads only the [Group] of a ticket, so that it matches all tickets of a group or none.
func (f *Filter) SelectsGroups() bool {
	return len(f.PropertyIDs) == 0 && f.AssigneeID == "" && !f.UpdatedAfter.Set && !f.UpdatedBefore.Set && f.Text == ""
}

// ScansToCount reports whether the time to count the tickets that the filter selects grows with the number of all tickets.
func (f *Filter) ScansToCount() bool { return !f.SelectsGroups() }

// ScansToList reports whether the time to read a page of the tickets that the filter selects, in that order, can grow with the number of
// all tickets. That is so if no index leads to the few tickets that the filter may select. There are indexes of properties, of users, and
// of the time of each order.
func (f *Filter) ScansToList(order Order) bool {
	switch {
	case f.Text != "":
		return true
	case f.AssigneeID != "", len(f.PropertyIDs) > 0 && !slices.Contains(f.PropertyIDs, ""):
		return false
	case f.UpdatedAfter.Set, f.UpdatedBefore.Set:
		if order.Time != ByUpdateTime {
			return true
		}
	}
	return len(f.Statuses) > 0 || len(f.AppIDs) > 0 || len(f.CategoryIDs) > 0 || len(f.PropertyIDs) > 0 || f.Unassigned
}

func isOneOf[T comparable](allowed []T, value T) bool {
	return len(allowed) == 0 || slices.Contains(allowed, value)
}

// Normal returns the filter with its lists, and the words of its text, sorted and without duplicates. The words are in their normalized
// form. Two filters that differ only in these ways are equal afterwards.
func (f Filter) Normal() Filter {
	f.Statuses = normal(f.Statuses)
	f.AppIDs = normal(f.AppIDs)
	f.CategoryIDs = normal(f.CategoryIDs)
	f.PropertyIDs = normal(f.PropertyIDs)
	f.Text = strings.Join(f.Words(), " ")
	return f
}

func normal[T cmp.Ordered](values []T) []T {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}
