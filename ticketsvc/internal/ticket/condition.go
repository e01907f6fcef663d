package ticket

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
)

// conditions are all conditions that a filter can have, in the order of their numbers. Everything that is done with a filter ranges over
// them. CONTRIBUTING.md has the recipe for a new one.
var conditions = []Condition{
	{Number: 1, Name: "statuses", Column: "status", fields: noFields.With(statusTextField), ofGroup: true,
		ref:     func(f *Filter) any { return &f.Statuses },
		matches: func(f *Filter, t *Ticket) bool { return slices.Contains(f.Statuses, t.Status) }},
	{Number: 2, Name: "app_ids", Column: "app_id", fields: noFields.With(appIDField), ofGroup: true,
		ref:     func(f *Filter) any { return &f.AppIDs },
		matches: func(f *Filter, t *Ticket) bool { return slices.Contains(f.AppIDs, t.AppID) }},
	{Number: 3, Name: "category_ids", Column: "category_id", fields: noFields.With(categoryIDField), ofGroup: true,
		ref:     func(f *Filter) any { return &f.CategoryIDs },
		matches: func(f *Filter, t *Ticket) bool { return slices.Contains(f.CategoryIDs, t.CategoryID) }},
	{Number: 4, Name: "property_ids", Column: "property_id", fields: noFields.With(propertyIDField), indexed: true,
		ref:     func(f *Filter) any { return &f.PropertyIDs },
		matches: func(f *Filter, t *Ticket) bool { return slices.Contains(f.PropertyIDs, t.PropertyID) }},
	{Number: 5, Name: "assignee_id", Column: "assigned_to", fields: noFields.With(assigneeIDField), indexed: true,
		ref:     func(f *Filter) any { return &f.AssigneeID },
		matches: func(f *Filter, t *Ticket) bool { return t.AssigneeID == f.AssigneeID }},
	{Number: 6, Name: "unassigned", Column: Unassigned, fields: noFields.With(assigneeIDField), ofGroup: true,
		ref:     func(f *Filter) any { return &f.Unassigned },
		matches: func(_ *Filter, t *Ticket) bool { return t.AssigneeID == "" }},
	{Number: 7, Name: "updated_after", Column: "update_time", Operator: ">=", fields: noFields.With(updateTimeField),
		ref:     func(f *Filter) any { return &f.UpdatedAfter },
		matches: func(f *Filter, t *Ticket) bool { return t.UpdateTime.Compare(f.UpdatedAfter) >= 0 }},
	{Number: 8, Name: "updated_before", Column: "update_time", Operator: "<", fields: noFields.With(updateTimeField),
		ref:     func(f *Filter) any { return &f.UpdatedBefore },
		matches: func(f *Filter, t *Ticket) bool { return t.UpdateTime.Compare(f.UpdatedBefore) < 0 }},
	{Number: 9, Name: "text", fields: noFields.With(titleField).With(descriptionField),
		ref: func(f *Filter) any { return &f.Text }, check: (*Filter).checkText}, // [Matcher] compares the words.
}

const noFields = FieldSet(0)

// Condition is a condition of a [Filter].
type Condition struct {
	// Number identifies the condition in tokens. It never changes. It is not the field's number in the contract.
	Number byte
	// Name is the name of the condition's field in the contract.
	Name string
	// Column is the column of both databases that is compared with the values, or [Unassigned]. It is empty for a text, for which the
	// databases have indexes of words.
	Column string
	// Operator compares the column with the only value. Empty means that the column must have one of the values.
	Operator string
	// Values are the values that the filter has: strings, statuses, true, or an instant.
	Values []any
	// IsList is set if there can be several values.
	IsList bool

	// fields are the fields that an event must name to change whether its ticket meets the condition. They include [updateTimeField] if
	// every event can.
	fields FieldSet
	// ofGroup is set if the condition reads only the [Group] of a ticket.
	ofGroup bool
	// indexed is set if the databases have an index of the column. The index leaves out tickets for which the column is empty.
	indexed bool
	// ref returns a pointer to the condition's field in a filter: a *[]Status, *[]string, *string, *bool or *Instant.
	ref func(*Filter) any
	// check adds a violation for everything that is wrong with the condition's field. Nil for the check that all fields of its type have.
	check func(f *Filter, field string, violations *Violations)
	// matches reports whether the ticket meets the condition. It is called only if the filter has the condition. Nil for the text.
	matches func(*Filter, *Ticket) bool
}

// Unassigned is the [Condition.Column] of the condition that a ticket is assigned to nobody. Databases have it in rows of groups only.
const Unassigned = "unassigned"

// IsSelective reports whether the databases have an index that leads to the tickets which meet the condition.
func (c *Condition) IsSelective() bool { return c.indexed && !slices.Contains(c.Values, any("")) }

// withValues returns the condition with its values in the filter.
func (c Condition) withValues(f *Filter) Condition {
	value := reflect.ValueOf(c.ref(f)).Elem()
	if c.IsList = value.Kind() == reflect.Slice; c.IsList {
		for i := range value.Len() {
			c.Values = append(c.Values, value.Index(i).Interface())
		}
	} else if !value.IsZero() {
		c.Values = []any{value.Interface()}
	}
	return c
}

// The maximum numbers of values in a filter's lists.
const (
	maxFilterStatuses = 16
	maxFilterIDs      = 100
)

// addViolations adds a violation for everything that is wrong with the condition's field.
//
// An id may have [MaxIDBytes], because databases need a limit for what they look up. If an event gave a ticket a longer id, no filter can
// ask for that id.
func (c *Condition) addViolations(f *Filter, field string, violations *Violations) {
	if c.check != nil {
		c.check(f, field, violations)
		return
	}
	switch value := c.ref(f).(type) {
	case *[]Status:
		if len(*value) > maxFilterStatuses {
			violations.Add(field, fmt.Sprintf("must have at most %d values", maxFilterStatuses))
		}
		if slices.ContainsFunc(*value, func(s Status) bool { return s < StatusUnspecified || s > StatusClosed }) {
			violations.Add(field, "must be statuses that this version knows")
		}
	case *[]string:
		if len(*value) > maxFilterIDs {
			violations.Add(field, fmt.Sprintf("must have at most %d values", maxFilterIDs))
		}
		for _, id := range *value {
			violations.checkIDSize(field, id)
		}
	case *string:
		violations.checkIDSize(field, *value)
	case *Instant:
		if !value.Valid() {
			violations.Add(field, "must be a time in the years 1 to 9999")
		}
	}
}

// normalize does the condition's part of [Filter.Normal].
func (c *Condition) normalize(f *Filter) {
	switch value := c.ref(f).(type) {
	case *[]Status:
		*value = normal(*value)
	case *[]string:
		*value = normal(*value)
	}
}

func normal[T cmp.Ordered](values []T) []T {
	return slices.Compact(slices.Sorted(slices.Values(values)))
}
