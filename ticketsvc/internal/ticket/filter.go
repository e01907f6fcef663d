package ticket

import (
	"cmp"
	"slices"
	"strings"
)

// The most values that a filter's lists may have.
const (
	maxFilterStatuses = 16
	maxFilterIDs      = 100
)

// Filter selects tickets: those that meet every condition that is set. The zero filter matches all.
type Filter struct {
	// Statuses, if any: the ticket's status is one of these.
	Statuses []Status
	// AppIDs, if any: the ticket belongs to one of these Apps.
	AppIDs []string
	// CategoryIDs, if any: the ticket's category is one of these.
	CategoryIDs []string
	// PropertyIDs, if any: the ticket's property is one of these.
	PropertyIDs []string
	// AssigneeID, if not empty: the ticket is assigned to this user.
	AssigneeID string
	// Unassigned: the ticket is assigned to nobody.
	Unassigned bool
	// UpdatedAfter, if set: the ticket's update time is this or later.
	UpdatedAfter Instant
	// UpdatedBefore, if set: the ticket's update time is before this.
	UpdatedBefore Instant
	// Text, if not empty: each of its words is the beginning of a word of the ticket's title or description, as [Filter.Words] and
	// [Ticket.Words] have them.
	Text string
}

// Check notes what is wrong with the filter. path is that of the filter in its request.
//
// Ids may have [MaxIDBytes]: databases need a bound for what they look up. Where an event gave a ticket a longer one, no filter can ask
// for that.
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

// Matches tells whether the filter selects t. It is what stores are held to; whoever looks at many tickets asks a [Matcher].
func (f *Filter) Matches(t *Ticket) bool {
	m := f.Matcher()
	return m.Matches(t, t.Words)
}

// Matcher is a filter whose text is taken apart. It is safe for concurrent use.
type Matcher struct {
	filter Filter
	words  []string
}

// Matcher returns what matches as the filter does.
func (f *Filter) Matcher() Matcher { return Matcher{filter: *f, words: f.Words()} }

// Matches tells whether the filter selects t. It calls words, which returns those of t, only where it depends on them.
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

// Filtered returns the parts of the ticket that a [Matcher] looks at, beside its words.
func (t *Ticket) Filtered() Ticket {
	return Ticket{ID: t.ID, Status: t.Status, AppID: t.AppID, CategoryID: t.CategoryID, PropertyID: t.PropertyID, AssigneeID: t.AssigneeID,
		UpdateTime: t.UpdateTime}
}

// Concern says which events can change whether a filter selects their tickets.
type Concern struct {
	// Fields are the fields that the filter looks at, beside the update time.
	Fields FieldSet
	// Every tells that it can be any event: each can move its ticket's update time.
	Every bool
}

// Concern returns which events can change whether the filter selects their tickets.
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

// Has tells whether an event that named content is one of them.
func (c Concern) Has(content ChangedFields) bool { return c.Every || c.Fields&content.Fields != 0 }

// SelectsGroups tells whether the filter looks at nothing of a ticket but its [Group], so that it matches all of a group's tickets or none.
func (f *Filter) SelectsGroups() bool {
	return len(f.PropertyIDs) == 0 && f.AssigneeID == "" && !f.UpdatedAfter.Set && !f.UpdatedBefore.Set && f.Text == ""
}

// ScansToCount tells whether to count the tickets that the filter selects takes the longer, the more tickets there are.
func (f *Filter) ScansToCount() bool { return !f.SelectsGroups() }

// ScansToList tells whether a page of the tickets that the filter selects, in that order, can take the longer, the more tickets there are:
// no index leads to the few that the filter may select. There are indexes of properties, of users, and of each order's time.
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

// Normal returns the filter with its lists and the words of its text in order and without repeats, and those words in the form in which
// they are compared: filters that select alike for that reason are equal then.
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
