package ticket

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ticketbridge/ticketbridge/internal/id"
)

// InvalidError is the error of a request that can never succeed as it is. It has no values of the request, because these may be personal
// data.
type InvalidError struct {
	// Violations has at least one entry.
	Violations []Violation
}

// Violation is one thing that is wrong with a request.
type Violation struct {
	// Field is the path of the request's field, such as "event.event_id".
	Field string
	// Description is a requirement for the field, such as "must not be empty".
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

// maxViolations is the maximum number of violations that are reported to a caller.
const maxViolations = 20

// Violations collects what is wrong with a request. It keeps the first maxViolations violations.
type Violations []Violation

// Add adds a violation if it is new.
func (v *Violations) Add(field, description string) {
	violation := Violation{Field: field, Description: description}
	if len(*v) < maxViolations && !slices.Contains(*v, violation) {
		*v = append(*v, violation)
	}
}

// Err returns an [*InvalidError], or nil if there are no violations.
func (v Violations) Err() error {
	if len(v) == 0 {
		return nil
	}
	return &InvalidError{Violations: v}
}

// CheckID adds a violation if id can't be the id of a stored ticket or event. It does not check the characters, because an earlier version
// of the service accepted ids with any characters. So every stored ticket can be read and erased.
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
		v.Add(field, fmt.Sprintf("must have at most %d bytes", MaxIDBytes))
	}
}

// CheckBatch adds a violation if a call can't ask for tickets with these ids. If several ids are not valid, only the first is reported. It
// returns the ids without duplicates, in the order of their first occurrence.
func (v *Violations) CheckBatch(field string, ids []string) []string {
	if len(ids) > maxBatchIDs {
		v.Add(field, fmt.Sprintf("must have at most %d values", maxBatchIDs))
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
