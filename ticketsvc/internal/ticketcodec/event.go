package ticketcodec

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// MarshalValues returns the values of a change as a message Ticket of the contract. The message has only the fields that the event named.
func MarshalValues(c *ticket.Change) []byte {
	return marshalTicket(&c.Values)
}

// Changed fields have not only the numbers of fields, but also numbers that no field can have: protobuf reserves 19000 to 19999. The two
// constants do not collide, because fields have numbers from 1 on, so that the first element change is 19001.
const (
	// versionHasUpdateTime is present if the event's version has an update time. Earlier versions of the service do not write it.
	versionHasUpdateTime protowire.Number = 19000
	// elementChange is added to the number of each field that is an element change.
	elementChange protowire.Number = 19000
)

// MarshalChangedFields returns the fields and attributes that an event named, as databases store them: varints, and strings after their
// lengths.
//
//	count of the numbers that follow
//	for each field, in the contract's order: its number in the contract
//	for each element change, in the contract's order: its field's number, with [elementChange] added
//	[versionHasUpdateTime], or nothing
//	for each attribute, in the order of the keys: its key
func MarshalChangedFields(c ticket.ChangedFields) []byte {
	count := c.Fields.Len() + c.ElementChanges.Len()
	if c.VersionHasUpdateTime {
		count++
	}
	b := protowire.AppendVarint(make([]byte, 0, 64), uint64(count))
	for f := range c.Fields.All() {
		b = protowire.AppendVarint(b, uint64(numbers[f]))
	}
	for f := range c.ElementChanges.All() {
		b = protowire.AppendVarint(b, uint64(elementChange+numbers[f]))
	}
	if c.VersionHasUpdateTime {
		b = protowire.AppendVarint(b, uint64(versionHasUpdateTime))
	}
	for _, key := range c.AttributeKeys {
		b = protowire.AppendString(b, key)
	}
	return b
}

// UnmarshalChangedFields is the inverse of [MarshalChangedFields]. If the bytes are malformed, it returns an error that does not contain
// them. It returns [ticket.ErrNewerVersion] if the event named a field that only a newer version of the service knows. The result then has
// the other fields.
func UnmarshalChangedFields(b []byte) (ticket.ChangedFields, error) {
	var c ticket.ChangedFields
	p := parser{rest: b}
	newer := false
	for range p.count() {
		number := p.number()
		if f, known := fieldsByNumber[number]; known {
			c.Fields = c.Fields.With(f)
		} else if f, known := fieldsByNumber[number-uint64(elementChange)]; known {
			c.ElementChanges = c.ElementChanges.With(f)
		} else if number == uint64(versionHasUpdateTime) {
			c.VersionHasUpdateTime = true
		} else {
			newer = true
		}
	}
	for p.err == nil && len(p.rest) > 0 {
		c.AttributeKeys = append(c.AttributeKeys, p.string())
	}
	if err := p.end(); err != nil || !newer {
		return c, err
	}
	return c, ticket.ErrNewerVersion
}

// CompleteEvent adds the other stored data to an event that has its ids, its name and its sequence number. The error is that of
// [ticket.DecodeError] for the event's ticket. After [ticket.ErrNewerVersion] the event has all data that this version knows.
func CompleteEvent(e *ticket.Event, occurTime, receiveTime string, content []byte) error {
	var errs [3]error
	e.OccurTime, errs[0] = ticket.ParseSortableText(occurTime)
	e.ReceiveTime, errs[1] = ticket.ParseSortableText(receiveTime)
	e.ChangedFields, errs[2] = UnmarshalChangedFields(content)
	if err := errors.Join(errs[:]...); err != nil {
		return ticket.DecodeError(e.TicketID, err)
	}
	return nil
}
