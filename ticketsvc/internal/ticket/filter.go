package ticket

import (
	"fmt"
	"slices"
	"strings"
)

// Filter selects the tickets that meet every condition that is set. The zero filter matches all tickets. [Condition] describes its fields
// to code that handles all of them alike.
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

// Conditions returns the conditions that are set, in the order of their numbers.
func (f *Filter) Conditions() []Condition {
	var set []Condition
	for _, c := range conditions {
		if c = c.withValues(f); len(c.Values) > 0 {
			set = append(set, c)
		}
	}
	return set
}

// Check adds a violation for everything that is wrong with the filter. path is the path of the filter in its request.
func (f *Filter) Check(path string, violations *Violations) {
	for _, c := range conditions {
		c.addViolations(f, path+"."+c.Name, violations)
	}
	if f.AssigneeID != "" && f.Unassigned {
		violations.Add(path+".assignee_id", "can't be set together with unassigned")
	}
}

func (f *Filter) checkText(field string, violations *Violations) {
	if len(f.Text) > maxTextBytes {
		violations.Add(field, fmt.Sprintf("must have at most %d bytes", maxTextBytes))
		return
	}
	if words := len(f.Words()); words > maxTextWords {
		violations.Add(field, fmt.Sprintf("must have at most %d words", maxTextWords))
	} else if words == 0 && f.Text != "" {
		violations.Add(field, "must have a letter or a digit")
	}
}

// Normal returns the filter with its lists, and the words of its text, sorted and without duplicates. The words are in their normalized
// form. Two filters that differ only in these ways are equal afterwards.
func (f Filter) Normal() Filter {
	for _, c := range conditions {
		c.normalize(&f)
	}
	f.Text = strings.Join(f.Words(), " ")
	return f
}

// Matches reports whether the filter selects t. It defines the result that stores must return. Code that checks many tickets uses a
// [Matcher].
func (f *Filter) Matches(t *Ticket) bool {
	m := f.Matcher()
	return m.Matches(t, t.Words)
}

// Matcher is a filter whose conditions are already found, and whose text is split into words. It is safe for concurrent use.
type Matcher struct {
	filter     Filter
	conditions []Condition
	words      []string
}

// Matcher returns a matcher that selects the same tickets as the filter.
func (f *Filter) Matcher() Matcher {
	return Matcher{filter: *f, conditions: f.Conditions(), words: f.Words()}
}

// Matches reports whether the filter selects t. words returns the words of t. It is called only if the result depends on the words.
func (m *Matcher) Matches(t *Ticket, words func() string) bool {
	for i := range m.conditions {
		if matches := m.conditions[i].matches; matches != nil && !matches(&m.filter, t) {
			return false
		}
	}
	return len(m.words) == 0 || hasWords(words(), m.words)
}

// filteredFields are the fields that the conditions with a column read.
var filteredFields = func() (read FieldSet) {
	for _, c := range conditions {
		if c.Column != "" {
			read |= c.fields
		}
	}
	return read
}()

// Filtered returns the part of the ticket that a [Matcher] reads, without the strings that the words come from.
func (t *Ticket) Filtered() Ticket {
	part := t.Only(filteredFields)
	part.ID, part.Status, part.StatusText = t.ID, t.Status, ""
	return part
}

// Concern is the set of events that can change whether a filter selects their tickets: those that name one of these fields, or all events
// if the update time is one of them.
type Concern FieldSet

// Concern returns the set of events that can change whether the filter selects their tickets.
func (f *Filter) Concern() Concern {
	var fields FieldSet
	for _, c := range f.Conditions() {
		fields |= c.fields
	}
	return Concern(fields)
}

// Has reports whether the set has an event that named these fields.
func (c Concern) Has(changed ChangedFields) bool {
	return FieldSet(c).Has(updateTimeField) || FieldSet(c)&changed.Fields != 0
}

// SelectsGroups reports whether the filter reads only the [Group] of a ticket, so that it matches all tickets of a group or none. To count
// the tickets of any other filter, a database reads tickets.
func (f *Filter) SelectsGroups() bool {
	return !slices.ContainsFunc(f.Conditions(), func(c Condition) bool { return !c.ofGroup })
}

// ScansToList reports whether the time to read a page of the tickets that the filter selects, in that order, can grow with the number of
// all tickets. That is so if no index leads to the few tickets that the filter may select. There are indexes of properties, of users, and
// of the time of each order.
func (f *Filter) ScansToList(order Order) bool {
	if f.Text != "" {
		return true
	}
	scans := false
	for _, c := range f.Conditions() {
		if c.IsSelective() {
			return false
		}
		scans = scans || c.Column != order.Column()
	}
	return scans
}
