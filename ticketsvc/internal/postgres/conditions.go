package postgres

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ticketbridge/ticketbridge/internal/postgresdb"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// conditions are conditions on a row, with the arguments of their statement. A row must meet all of them.
type conditions struct {
	texts     []string
	arguments []any
}

// filterable returns a value as the columns that filters use store it. A filter's ids have at most [ticket.MaxIDBytes]. A longer value is
// cut to a length at which it still differs from all of these ids, because an index accepts at most 2.7 kB.
func filterable(value string) string {
	if len(value) > ticket.MaxIDBytes {
		value = strings.ToValidUTF8(value[:min(len(value), ticket.MaxIDBytes+utf8.UTFMax)], "")
	}
	return postgresdb.EscapeText(value)
}

// sharedConditions returns the conditions on columns that tickets and groups both have.
func sharedConditions(f ticket.Filter) conditions {
	var c conditions
	if len(f.Statuses) > 0 {
		statuses := make([]int32, len(f.Statuses))
		for i, status := range f.Statuses {
			statuses[i] = int32(status)
		}
		c.addAny("status", statuses)
	}
	c.addIDs("app_id", f.AppIDs)
	c.addIDs("category_id", f.CategoryIDs)
	return c
}

// groupConditions returns the conditions on groups, for a filter that selects groups.
func groupConditions(f ticket.Filter) conditions {
	c := sharedConditions(f)
	if f.Unassigned {
		c.texts = append(c.texts, "unassigned")
	}
	return c
}

// newConditions returns the conditions of [ticket.Filter.Matches], except the text.
func newConditions(f ticket.Filter) conditions {
	c := sharedConditions(f)
	c.texts = append(c.texts, "NOT erased")
	c.addIDs("property_id", f.PropertyIDs)
	if len(f.PropertyIDs) > 0 && !slices.Contains(f.PropertyIDs, "") {
		// This follows from the ids, but PostgreSQL needs the condition to know that the index has all such tickets.
		c.texts = append(c.texts, "property_id <> ''")
	}
	if f.AssigneeID != "" {
		c.add("assigned_to <> '' AND assigned_to = ", postgresdb.EscapeText(f.AssigneeID))
	}
	if f.Unassigned {
		c.texts = append(c.texts, "assigned_to = ''")
	}
	if f.UpdatedAfter.Set {
		c.add("update_time >= ", f.UpdatedAfter.SortableText())
	}
	if f.UpdatedBefore.Set {
		c.add("update_time < ", f.UpdatedBefore.SortableText())
	}
	return c
}

// bind adds an argument to the statement, and returns its placeholder.
func (c *conditions) bind(argument any) string {
	c.arguments = append(c.arguments, argument)
	return "$" + strconv.Itoa(len(c.arguments))
}

// add adds the condition that consists of text, followed by the argument.
func (c *conditions) add(text string, argument any) { c.texts = append(c.texts, text+c.bind(argument)) }

// addAny adds the condition that a column has one of some values.
func (c *conditions) addAny(column string, values any) {
	c.texts = append(c.texts, column+" = ANY("+c.bind(values)+")")
}

// addIDs adds the condition that a column has one of some ids, if there are any.
func (c *conditions) addIDs(column string, ids []string) {
	if len(ids) > 0 {
		c.addAny(column, escaped(ids))
	}
}

func (c *conditions) sql() string {
	if len(c.texts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.texts, " AND ")
}
