package postgres

import (
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

// groupConditions returns the conditions on groups, for a filter that selects groups.
func groupConditions(f ticket.Filter) conditions {
	var c conditions
	c.addFilter(f, "unassigned")
	return c
}

// filterConditions returns the conditions of [ticket.Filter.Matches], except the text.
func filterConditions(f ticket.Filter) conditions {
	c := conditions{texts: []string{"NOT erased"}}
	c.addFilter(f, "assigned_to = ''")
	return c
}

// addFilter adds the conditions of a filter, except the text. unassigned is the condition for [ticket.Unassigned].
func (c *conditions) addFilter(f ticket.Filter, unassigned string) {
	for _, condition := range f.Conditions() {
		values := make([]any, len(condition.Values))
		for i, value := range condition.Values {
			switch value := value.(type) {
			case string:
				values[i] = postgresdb.EscapeText(value)
			case ticket.Instant:
				values[i] = value.SortableText()
			default:
				values[i] = value
			}
		}
		switch {
		case condition.Column == "":
		case condition.Column == ticket.Unassigned:
			c.texts = append(c.texts, unassigned)
		case condition.Operator == "":
			c.texts = append(c.texts, condition.Column+" = ANY("+c.bind(values)+")")
		default:
			c.add(condition.Column+" "+condition.Operator+" ", values[0])
		}
		if condition.IsSelective() {
			// This follows from the values, but PostgreSQL needs the condition to know that the index has all such tickets.
			c.texts = append(c.texts, condition.Column+" <> ''")
		}
	}
}

// bind adds an argument to the statement, and returns its placeholder.
func (c *conditions) bind(argument any) string {
	c.arguments = append(c.arguments, argument)
	return "$" + strconv.Itoa(len(c.arguments))
}

// add adds the condition that consists of text, followed by the argument.
func (c *conditions) add(text string, argument any) { c.texts = append(c.texts, text+c.bind(argument)) }

func (c *conditions) sql() string {
	if len(c.texts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.texts, " AND ")
}
