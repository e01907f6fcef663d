package event

import (
	"math/bits"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

// field is a field of the provider's ticket. The zero field is one that the provider does not document.
type field struct {
	ticketfields.Field
	// index is the field's place in [modelled].
	index int
	// descriptor is the field of [ticketv1.Ticket] that holds the value. Nil if Ticket does not model the field, which is an attribute.
	descriptor protoreflect.FieldDescriptor
}

var (
	// modelled are the fields that Ticket models, in the order of their names in the contract.
	modelled = newModelled()
	// fields are the fields of the provider's ticket, by their names there.
	fields = newFields(func(f ticketfields.Field) string { return f.Name })
	// embeddedFields are the fields for which a member of _embedded stands in, by the name of that member.
	embeddedFields = newFields(func(f ticketfields.Field) string { return f.Embedded })
	// appID is the field that comes from the event's URN.
	appID = newFields(func(f ticketfields.Field) string { return f.Contract })["app_id"]
	// createTime is the field that has the event's time if an event created the ticket and does not name the field.
	createTime = fields["createdAt"]
)

func newModelled() []string {
	var names []string
	for _, f := range ticketfields.Modelled() {
		names = append(names, f.Contract)
	}
	slices.Sort(names)
	return names
}

func newFields(key func(ticketfields.Field) string) map[string]field {
	byKey := map[string]field{}
	descriptors := (&ticketv1.Ticket{}).ProtoReflect().Descriptor().Fields()
	for _, f := range ticketfields.All() {
		if key(f) != "" {
			byKey[key(f)] = field{f, slices.Index(modelled, f.Contract), descriptors.ByName(protoreflect.Name(f.Contract))}
		}
	}
	return byKey
}

// fieldSet is a set of fields that Ticket models: one bit for each place in [modelled].
type fieldSet uint64

func (s *fieldSet) add(f field)     { *s |= 1 << f.index }
func (s fieldSet) has(f field) bool { return s&(1<<f.index) != 0 }
func (s fieldSet) len() int         { return bits.OnesCount64(uint64(s)) }

// paths returns the names of the set's fields in the contract, sorted.
func (s fieldSet) paths() []string {
	paths := make([]string, 0, s.len()+1)
	for i, name := range modelled {
		if s&(1<<i) != 0 {
			paths = append(paths, name)
		}
	}
	return paths
}

// read sets the field of a ticket to a value that is not null. It leaves the field empty if the field can't hold the value.
func (f field) read(ticket protoreflect.Message, value []byte) reading {
	switch f.Kind {
	case ticketfields.Text:
		return f.readString(ticket, value, readString)
	case ticketfields.IntegerText:
		return f.readString(ticket, value, readIntegerText)
	case ticketfields.ID:
		return f.readString(ticket, value, readID)
	case ticketfields.ObjectName:
		return f.readString(ticket, value, readObjectName)
	case ticketfields.Texts:
		return f.readStrings(ticket, value, readString)
	case ticketfields.IDs:
		return f.readStrings(ticket, value, readID)
	case ticketfields.Count:
		count, r := readCount(value)
		ticket.Set(f.descriptor, protoreflect.ValueOfInt32(count))
		return r
	case ticketfields.Date:
		date, r := readDate(value)
		if date != nil {
			ticket.Set(f.descriptor, protoreflect.ValueOfMessage(date.ProtoReflect()))
		}
		return r
	case ticketfields.Settings:
		settings, r := readCustomSettings(value)
		list := ticket.Mutable(f.descriptor).List()
		for _, setting := range settings {
			list.Append(protoreflect.ValueOfMessage(setting.ProtoReflect()))
		}
		return r
	default:
		panic("event: no reader for the kind of the modelled field " + f.Contract)
	}
}

func (f field) readString(ticket protoreflect.Message, value []byte, read stringReader) reading {
	text, r := read(value)
	ticket.Set(f.descriptor, protoreflect.ValueOfString(text))
	return r
}

func (f field) readStrings(ticket protoreflect.Message, value []byte, readElement stringReader) reading {
	texts, r := readList(value, readElement)
	list := ticket.Mutable(f.descriptor).List()
	for _, text := range texts {
		list.Append(protoreflect.ValueOfString(text))
	}
	return r
}

// elements returns how many elements a list has in a ticket.
func (f field) elements(ticket protoreflect.Message) int {
	list := ticket.Get(f.descriptor).List()
	n := list.Len()
	if f.Kind == ticketfields.Settings {
		for i := range list.Len() {
			n += len(list.Get(i).Message().Interface().(*ticketv1.CustomSetting).GetAttributes())
		}
	}
	return n
}
