package tickettest

import (
	"fmt"
	"iter"

	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// FilterFields returns the fields of the contract's filter. Each of them is a condition.
func FilterFields() iter.Seq[protoreflect.FieldDescriptor] {
	return func(yield func(protoreflect.FieldDescriptor) bool) {
		fields := (&ticketv1.TicketFilter{}).ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			if !yield(fields.Get(i)) {
				return
			}
		}
	}
}

// FilterWith returns a filter that has only this field. The field's value depends on number, from 1 on, except that of a bool.
func FilterWith(field protoreflect.FieldDescriptor, number int) *ticketv1.TicketFilter {
	filter := &ticketv1.TicketFilter{}
	m := filter.ProtoReflect()
	var value protoreflect.Value
	switch field.Kind() {
	case protoreflect.BoolKind:
		value = protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		value = protoreflect.ValueOfEnum(protoreflect.EnumNumber(number))
	case protoreflect.StringKind:
		value = protoreflect.ValueOfString(fmt.Sprint("a", number))
	case protoreflect.MessageKind: // A time.
		value = m.NewField(field)
		value.Message().Set(field.Message().Fields().ByName("seconds"), protoreflect.ValueOfInt64(int64(number)))
	default:
		panic(fmt.Sprintf("field %s has kind %s, for which no value is known", field.Name(), field.Kind()))
	}
	if field.IsList() {
		list := m.NewField(field)
		list.List().Append(value)
		value = list
	}
	m.Set(field, value)
	return filter
}
