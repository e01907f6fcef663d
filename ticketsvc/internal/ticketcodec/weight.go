package ticketcodec

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// repeated are the contract's numbers of the fields of Ticket that hold elements.
var repeated = func() map[protowire.Number]bool {
	numbers := map[protowire.Number]bool{numberAttributes: true}
	for f := range ticket.Fields() {
		switch f.Ref(&ticket.Ticket{}).(type) {
		case *[]string, *[]ticket.CustomSetting:
			numbers[numberOf(f.String())] = true
		}
	}
	return numbers
}()

var numberCustomSettings = numberOf("custom_settings")

// WeighTicket returns the weight of the ticket of a record's content, without unmarshalling it. Of content that is not what was written it
// may be anything.
func WeighTicket(content []byte) ticket.Weight {
	w := ticket.Weight{Bytes: len(content)}
	for number, value := range fields(content) {
		if !repeated[number] {
			continue
		}
		w.Elements++
		if number == numberCustomSettings {
			for number := range fields(value) {
				if number == numberSettingAttributes {
					w.Elements++
				}
			}
		}
	}
	return w
}

// RecordMemory returns how many bytes a record takes in memory, without unmarshalling it.
func RecordMemory(content, stamps []byte) int { return WeighTicket(content).Memory() + len(stamps) }

// fields returns the fields of a message that have bytes, up to the first that is malformed.
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

// WeighEvent returns the weight of an event of which that is kept, without unmarshalling it. Of content that is not what was written it may
// be anything.
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
