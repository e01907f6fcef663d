package ticketcodec

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// WeighTicket returns the weight of the ticket of a state's content, without unmarshalling it. The result for malformed content is
// undefined.
func WeighTicket(content []byte) ticket.Weight {
	return ticket.Weight{Bytes: len(content), Elements: countElements(content, ticketDescriptor)}
}

// countElements returns the number of entries of the lists and maps of a message, including those of messages in its lists.
func countElements(message []byte, descriptor protoreflect.MessageDescriptor) int {
	count := 0
	for number, value := range fields(message) {
		f := descriptor.Fields().ByNumber(number)
		if f == nil || !f.IsList() && !f.IsMap() {
			continue
		}
		count++
		if f.IsList() && f.Message() != nil {
			count += countElements(value, f.Message())
		}
	}
	return count
}

// StateMemory returns the size of a state in memory, in bytes, without unmarshalling it.
func StateMemory(content, versions []byte) int { return WeighTicket(content).Memory() + len(versions) }

// fields returns the fields of a message that have the wire type bytes, up to the first malformed field.
func fields(message []byte) func(yield func(protowire.Number, []byte) bool) {
	return func(yield func(protowire.Number, []byte) bool) {
		for len(message) > 0 {
			number, wireType, n := protowire.ConsumeTag(message)
			if n < 0 {
				return
			}
			message = message[n:]
			if wireType != protowire.BytesType {
				if n = protowire.ConsumeFieldValue(number, wireType, message); n < 0 {
					return
				}
				message = message[n:]
				continue
			}
			value, n := protowire.ConsumeBytes(message)
			if n < 0 || !yield(number, value) {
				return
			}
			message = message[n:]
		}
	}
}

// WeighEvent returns the weight of an event with this stored content, without unmarshalling it. The result for malformed content is
// undefined.
func WeighEvent(content []byte) ticket.Weight {
	w := ticket.Weight{Bytes: len(content)}
	count, n := protowire.ConsumeVarint(content)
	for ; n >= 0 && count > 0; count-- {
		content = content[n:]
		_, n = protowire.ConsumeVarint(content)
	}
	for n >= 0 && n < len(content) {
		content = content[n:]
		_, n = protowire.ConsumeBytes(content)
		w.Elements++
	}
	return w
}
