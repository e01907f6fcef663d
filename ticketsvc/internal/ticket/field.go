package ticket

import (
	"iter"
	"maps"
	"math/bits"
	"slices"
)

// Field names a field of [Ticket] that an event can name, and so a register.
type Field uint8

// register says what a field is called and where it is. The table of them is generated; see CONTRIBUTING.md.
type register struct {
	// name is the field's in the contract.
	name string
	// attribute is the key of the attribute that belongs to the field, and holds what the field can't: the field's name at Allthings. Empty
	// for a field that is read from the event instead of from the ticket.
	attribute string
	// holdsIDs is set if the field is an id, or a list of ids.
	holdsIDs bool
	// ref returns where a ticket holds the field.
	ref func(*Ticket) any
}

// AttributesName is what names attributes in a list of fields, beside the names of the [Field]s.
const AttributesName = "attributes"

var (
	fieldsByName      = index(func(f Field) string { return fields[f].name })
	fieldsByAttribute = index(func(f Field) string { return fields[f].attribute })
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
