package ticket

import (
	"iter"
	"maps"
	"math/bits"
	"slices"
)

// Field names a field of [Ticket] that an event can name, and so a register.
type Field uint8

// fields are the registers beside the attributes: adding a field is adding a line. The order is the contract's, and may change: it is
// stored nowhere.
var fields = [...]struct {
	// name is the field's in the contract.
	name string
	// attribute is the key of the attribute that belongs to the field, and holds what the field can't: the field's name at Allthings. None
	// for a field that is read from the event instead of from the ticket.
	attribute string
	// ref returns where a ticket holds the field.
	ref func(*Ticket) any
}{
	{"app_id", "", func(t *Ticket) any { return &t.AppID }},
	{"increment_id", "incrementID", func(t *Ticket) any { return &t.IncrementID }},
	{"title", "title", func(t *Ticket) any { return &t.Title }},
	{"description", "description", func(t *Ticket) any { return &t.Description }},
	{"status_text", "status", func(t *Ticket) any { return &t.StatusText }},
	{"category_id", "category", func(t *Ticket) any { return &t.CategoryID }},
	{"assignee_id", "assignedTo", func(t *Ticket) any { return &t.AssigneeID }},
	{"creator_id", "createdBy", func(t *Ticket) any { return &t.CreatorID }},
	{"property_id", "_embedded.property", func(t *Ticket) any { return &t.PropertyID }},
	{"unit_name", "_embedded.unit", func(t *Ticket) any { return &t.UnitName }},
	{"channels", "channels", func(t *Ticket) any { return &t.Channels }},
	{"label_ids", "labels", func(t *Ticket) any { return &t.LabelIDs }},
	{"tags", "tags", func(t *Ticket) any { return &t.Tags }},
	{"file_ids", "files", func(t *Ticket) any { return &t.FileIDs }},
	{"phone_number", "phoneNumber", func(t *Ticket) any { return &t.PhoneNumber }},
	{"custom_settings", "customSettings", func(t *Ticket) any { return &t.CustomSettings }},
	{"comment_count", "commentCount", func(t *Ticket) any { return &t.CommentCount }},
	{"create_time", "createdAt", func(t *Ticket) any { return &t.CreateTime }},
	{updateTimeName, "updatedAt", func(t *Ticket) any { return &t.UpdateTime }},
	{"last_status_update_time", "lastStatusUpdate", func(t *Ticket) any { return &t.LastStatusUpdateTime }},
}

const (
	fieldCount     = len(fields)
	updateTimeName = "update_time"
	// AttributesName is what names attributes in a list of fields, beside the names of the [Field]s.
	AttributesName = "attributes"
)

var (
	fieldsByName      = index(func(f Field) string { return fields[f].name })
	fieldsByAttribute = index(func(f Field) string { return fields[f].attribute })
	updateTimeField   = fieldsByName[updateTimeName]

	// Those that filters look at, beside the update time.
	titleField       = fieldsByName["title"]
	descriptionField = fieldsByName["description"]
	statusTextField  = fieldsByName["status_text"]
	appIDField       = fieldsByName["app_id"]
	categoryIDField  = fieldsByName["category_id"]
	propertyIDField  = fieldsByName["property_id"]
	assigneeIDField  = fieldsByName["assignee_id"]
)

func index(name func(Field) string) map[string]Field {
	byName := make(map[string]Field, fieldCount)
	for f := range Field(fieldCount) {
		if n := name(f); n != "" {
			byName[n] = f
		}
	}
	return byName
}

// ParseField returns the field of that name in the contract.
func ParseField(name string) (Field, bool) {
	f, ok := fieldsByName[name]
	return f, ok
}

// Fields returns every field, in the order of the contract.
func Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for f := range Field(fieldCount) {
			if !yield(f) {
				return
			}
		}
	}
}

// String returns the field's name in the contract, such as "assignee_id".
func (f Field) String() string { return fields[f].name }

// Ref returns a pointer to the field in t: a *string, *[]string, *[]CustomSetting, *int32 or *[Instant].
func (f Field) Ref(t *Ticket) any { return fields[f].ref(t) }

// IsList reports whether the field is a list.
func (f Field) IsList() bool {
	switch f.Ref(&Ticket{}).(type) {
	case *[]string, *[]CustomSetting:
		return true
	default:
		return false
	}
}

// copy gives to the field's value in from. Lists are shared.
func (f Field) copy(to, from *Ticket) {
	switch target := f.Ref(to).(type) {
	case *string:
		*target = *f.Ref(from).(*string)
	case *[]string:
		*target = *f.Ref(from).(*[]string)
	case *[]CustomSetting:
		*target = *f.Ref(from).(*[]CustomSetting)
	case *int32:
		*target = *f.Ref(from).(*int32)
	case *Instant:
		*target = *f.Ref(from).(*Instant)
	}
}

// FieldSet is a set of fields.
type FieldSet uint32

// With returns the set with f in it.
func (s FieldSet) With(f Field) FieldSet { return s | 1<<f }

// Without returns the set without f.
func (s FieldSet) Without(f Field) FieldSet { return s &^ (1 << f) }

// Has tells whether f is in the set.
func (s FieldSet) Has(f Field) bool { return s&(1<<f) != 0 }

// Len returns how many fields are in the set.
func (s FieldSet) Len() int { return bits.OnesCount32(uint32(s)) }

// All returns the fields of the set, in the order of the contract.
func (s FieldSet) All() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for rest := s; rest != 0; rest &= rest - 1 {
			if !yield(Field(bits.TrailingZeros32(uint32(rest)))) {
				return
			}
		}
	}
}

// sortedKeys returns m's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
