package ticket

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ticketbridge/ticketbridge/internal/id"
)

// InvalidError says that a request can never succeed as it is. It holds no value of the request, since those may be personal.
type InvalidError struct {
	// Violations are what is wrong, at least one.
	Violations []Violation
}

// Violation is one thing that is wrong with a request.
type Violation struct {
	// Field is the path of the request's field, such as "event.event_id".
	Field string
	// Description says what the field must be, such as "must not be empty".
	Description string
}

// Error returns all violations in one line.
func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		texts[i] = v.Field + " " + v.Description
	}
	return strings.Join(texts, "; ")
}

// maxViolations is how many things that are wrong with a request a caller is told.
const maxViolations = 20

// Violations gathers what is wrong with a request: the first maxViolations things.
type Violations []Violation

// Add notes one thing that is wrong, once.
func (v *Violations) Add(field, description string) {
	violation := Violation{Field: field, Description: description}
	if len(*v) < maxViolations && !slices.Contains(*v, violation) {
		*v = append(*v, violation)
	}
}

// Err returns an [*InvalidError], or nil when nothing is wrong.
func (v Violations) Err() error {
	if len(v) == 0 {
		return nil
	}
	return &InvalidError{Violations: v}
}

// CheckID notes when id can't be that of a ticket or event that is stored. An earlier version took ids with any characters, so these are
// not looked at: what is stored can be read and erased.
func (v *Violations) CheckID(field, id string) {
	if id == "" {
		v.Add(field, "must not be empty")
	}
	v.checkIDSize(field, id)
}

func (v *Violations) checkNewID(field, text string) {
	if v.checkIDSize(field, text); len(text) <= MaxIDBytes && !id.Valid(text) {
		v.Add(field, "must have no control characters, bidirectional controls or characters of zero width")
	}
}

func (v *Violations) checkIDSize(field, id string) {
	if len(id) > MaxIDBytes {
		v.Add(field, "must have at most 256 bytes")
	}
}

// CheckBatch notes when a call can't ask for tickets with these ids; of those that can't be any ticket's, the first. It returns the ids,
// each once, in the order in which they first come.
func (v *Violations) CheckBatch(field string, ids []string) []string {
	if len(ids) > maxBatchIDs {
		v.Add(field, "must have at most 1000 values")
		return nil
	}
	seen := make(map[string]bool, len(ids))
	distinct := make([]string, 0, len(ids))
	for i, id := range ids {
		if !seen[id] {
			seen[id] = true
			distinct = append(distinct, id)
			var wrong Violations
			if wrong.CheckID(field, id); len(wrong) > 0 {
				v.Add(fmt.Sprintf("%s[%d]", field, i), wrong[0].Description)
				return nil
			}
		}
	}
	return distinct
}
