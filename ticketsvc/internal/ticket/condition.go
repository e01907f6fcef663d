package ticket

import (
	"cmp"
	"slices"
	"strings"
)

// conditions are all conditions that a filter can have, in the order of their numbers. Everything that is done with a filter ranges over
// them. CONTRIBUTING.md has the recipe for a new one.
var conditions = []Condition{
	oneOf(Condition{Number: 1, Name: "statuses", Column: "status", fields: noFields.With(statusTextField), ofGroup: true},
		func(f *Filter) *[]Status { return &f.Statuses }, func(t *Ticket) Status { return t.Status }, checkStatuses),
	oneOf(Condition{Number: 2, Name: "app_ids", Column: "app_id", fields: noFields.With(appIDField), ofGroup: true},
		func(f *Filter) *[]string { return &f.AppIDs }, func(t *Ticket) string { return t.AppID }, checkFilterIDs),
	oneOf(Condition{Number: 3, Name: "category_ids", Column: "category_id", fields: noFields.With(categoryIDField), ofGroup: true},
		func(f *Filter) *[]string { return &f.CategoryIDs }, func(t *Ticket) string { return t.CategoryID }, checkFilterIDs),
	oneOf(Condition{Number: 4, Name: "property_ids", Column: "property_id", fields: noFields.With(propertyIDField), indexed: true},
		func(f *Filter) *[]string { return &f.PropertyIDs }, func(t *Ticket) string { return t.PropertyID }, checkFilterIDs),
	{
		Number: 5, Name: "assignee_id", Column: "assigned_to", Operator: OneOf, fields: noFields.With(assigneeIDField), indexed: true,
		values:  func(f *Filter) []any { return valueIf(f.AssigneeID != "", f.AssigneeID) },
		matches: func(m *Matcher, t *Ticket, _ func() string) bool { return t.AssigneeID == m.filter.AssigneeID },
		check: func(f *Filter, field string, violations *Violations) {
			violations.checkIDSize(field, f.AssigneeID)
			if f.AssigneeID != "" && f.Unassigned {
				violations.Add(field, "can't be set together with unassigned")
			}
		},
	},
	{
		Number: 6, Name: "unassigned", Column: Unassigned, Operator: OneOf, fields: noFields.With(assigneeIDField), ofGroup: true,
		values:  func(f *Filter) []any { return valueIf(f.Unassigned, true) },
		matches: func(_ *Matcher, t *Ticket, _ func() string) bool { return t.AssigneeID == "" },
	},
	updated(Condition{Number: 7, Name: "updated_after", Operator: AtLeast}, func(f *Filter) Instant { return f.UpdatedAfter },
		func(order int) bool { return order >= 0 }),
	updated(Condition{Number: 8, Name: "updated_before", Operator: Below}, func(f *Filter) Instant { return f.UpdatedBefore },
		func(order int) bool { return order < 0 }),
	{
		Number: 9, Name: "text", fields: noFields.With(titleField).With(descriptionField),
		values:    func(f *Filter) []any { return valueIf(f.Text != "", f.Text) },
		matches:   func(m *Matcher, _ *Ticket, words func() string) bool { return hasWords(words(), m.words) },
		check:     func(f *Filter, field string, violations *Violations) { f.checkText(field, violations) },
		normalize: func(f *Filter) { f.Text = strings.Join(f.Words(), " ") },
	},
}

const noFields = FieldSet(0)

// Condition is a condition of a [Filter].
type Condition struct {
	// Number identifies the condition in tokens. It never changes.
	Number byte
	// Name is the name of the condition's field in the contract.
	Name string
	// IsList is set if the filter has a list of values.
	IsList bool
	// Column is the column of both databases that is compared with the values, or [Unassigned]. It is empty for a text, for which the
	// databases have indexes of words.
	Column string
	// Operator is the comparison of the column with the values.
	Operator Operator
	// Values are the values that the filter has: strings, statuses, true, or an instant.
	Values []any

	// fields are the fields that an event must name to change whether its ticket meets the condition. They include [updateTimeField] if
	// every event can.
	fields FieldSet
	// ofGroup is set if the condition reads only the [Group] of a ticket.
	ofGroup bool
	// indexed is set if the databases have an index of the column. The index leaves out tickets for which the column is empty.
	indexed bool

	values func(*Filter) []any
	// matches is called only if the filter has the condition.
	matches func(m *Matcher, t *Ticket, words func() string) bool
	// check adds a violation for everything that is wrong with the values. Nil if all values are valid.
	check func(f *Filter, field string, violations *Violations)
	// normalize does the condition's part of [Filter.Normal]. Nil if it has none.
	normalize func(*Filter)
}

// Operator is a comparison of a column with values.
type Operator string

const (
	// OneOf is that the column is one of the values.
	OneOf Operator = "="
	// AtLeast is that the column is the value or greater.
	AtLeast Operator = ">="
	// Below is that the column is less than the value.
	Below Operator = "<"
)

// Unassigned is the [Condition.Column] of the condition that a ticket is assigned to nobody. Databases have it in rows of groups only.
const Unassigned = "unassigned"

// IsSelective reports whether the databases have an index that leads to the tickets which meet the condition.
func (c *Condition) IsSelective() bool { return c.indexed && !slices.Contains(c.Values, any("")) }

// oneOf adds to c that the ticket's value must be in a list of the filter.
func oneOf[T cmp.Ordered](c Condition, list func(*Filter) *[]T, value func(*Ticket) T, check func(field string, values []T, v *Violations),
) Condition {
	c.IsList, c.Operator = true, OneOf
	c.values = func(f *Filter) (values []any) {
		for _, v := range *list(f) {
			values = append(values, v)
		}
		return values
	}
	c.matches = func(m *Matcher, t *Ticket, _ func() string) bool { return slices.Contains(*list(&m.filter), value(t)) }
	c.check = func(f *Filter, field string, violations *Violations) { check(field, *list(f), violations) }
	c.normalize = func(f *Filter) { *list(f) = normal(*list(f)) }
	return c
}

// updated adds to c that the ticket's update time must be on one side of an instant of the filter. matches gets the order of the two.
func updated(c Condition, bound func(*Filter) Instant, matches func(order int) bool) Condition {
	c.Column, c.fields = "update_time", noFields.With(updateTimeField)
	c.values = func(f *Filter) []any { return valueIf(bound(f).Set, bound(f)) }
	c.matches = func(m *Matcher, t *Ticket, _ func() string) bool {
		return matches(t.UpdateTime.Compare(bound(&m.filter)))
	}
	c.check = func(f *Filter, field string, violations *Violations) {
		if !bound(f).Valid() {
			violations.Add(field, "must be a time in the years 1 to 9999")
		}
	}
	return c
}

func valueIf(set bool, value any) []any {
	if !set {
		return nil
	}
	return []any{value}
}

func normal[T cmp.Ordered](values []T) []T {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}

// The maximum numbers of values in a filter's lists.
const (
	maxFilterStatuses = 16
	maxFilterIDs      = 100
)

func checkStatuses(field string, statuses []Status, violations *Violations) {
	if len(statuses) > maxFilterStatuses {
		violations.Add(field, "must have at most 16 values")
	}
	if slices.ContainsFunc(statuses, func(s Status) bool { return s < StatusUnspecified || s > StatusClosed }) {
		violations.Add(field, "must be statuses that this version knows")
	}
}

// checkFilterIDs allows an id of [MaxIDBytes], because databases need a limit for what they look up. If an event gave a ticket a longer id,
// no filter can ask for that id.
func checkFilterIDs(field string, ids []string, violations *Violations) {
	if len(ids) > maxFilterIDs {
		violations.Add(field, "must have at most 100 values")
	}
	for _, id := range ids {
		violations.checkIDSize(field, id)
	}
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
