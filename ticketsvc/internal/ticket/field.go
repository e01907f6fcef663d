package ticket

import (
	"iter"
	"maps"
	"math/bits"
	"slices"
)

// Field is a field of [Ticket] that an event can name. Each field is a register.
type Field uint8

// register is the name of a field and its location in a ticket. The table of registers is generated; see CONTRIBUTING.md.
type register struct {
	// name is the name of the field in the contract.
	name string
	// attribute is the key of the attribute that belongs to the field, and holds what the field can't. The key is the field's name at
	// Allthings. It is empty for a field that is read from the event instead of from the ticket.
	attribute string
	// holdsIDs is set if the field is an id, or a list of ids.
	holdsIDs bool
	// ref returns a pointer to the field in a ticket.
	ref func(*Ticket) any
}

// AttributesName is the name of the attributes in a list of fields, next to the names of the [Field]s.
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

// ParseField returns the field with that name in the contract.
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

// copy copies the field from one ticket to another. Lists are shared.
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

// FieldSet is a set of fields, with a bit for each.
type FieldSet uint32

// A field that FieldSet has no bit for does not compile.
const _ = uint(32 - fieldCount)

// With returns the set with f added.
func (s FieldSet) With(f Field) FieldSet { return s | 1<<f }

// Without returns the set with f removed.
func (s FieldSet) Without(f Field) FieldSet { return s &^ (1 << f) }

// Has reports whether f is in the set.
func (s FieldSet) Has(f Field) bool { return s&(1<<f) != 0 }

// Len returns the number of fields in the set.
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
