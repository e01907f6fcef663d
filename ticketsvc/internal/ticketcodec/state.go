// Package ticketcodec encodes tickets and events: a ticket as a message of the contract, and tickets and events as the bytes that databases
// store. The bytes are the same in every database engine.
package ticketcodec

import (
	"errors"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

var ticketDescriptor = (&ticketv1.Ticket{}).ProtoReflect().Descriptor()

// numbers holds the number of each field in the contract. fieldsByNumber is its inverse.
var numbers, fieldsByNumber = func() (numbers []protowire.Number, fields map[uint64]ticket.Field) {
	fields = map[uint64]ticket.Field{}
	for f := range ticket.Fields() {
		number := ticketDescriptor.Fields().ByName(protoreflect.Name(f.String())).Number()
		numbers = append(numbers, number)
		fields[uint64(number)] = f
	}
	return numbers, fields
}()

// MarshalState returns a state as databases store it: the ticket as a message of the contract, and the versions in a form of their own, in
// the database column named stamps. Equal states have equal bytes within one build of the service.
//
// The versions begin with the number of the form, 2. The rest are varints, and strings after their lengths. A moment is seconds (zigzag)
// and nanoseconds. An optional moment is 1 and a moment, or 0 for none.
//
//	number of events, then for each, in the order of versions: moment, optional moment of its update time, event id; the last is the
//	ticket's latest
//	optional moment of the provider's update time
//	1 if the ticket's creation or a snapshot of it is recorded, or 0
//	number of element changes, then for each, in the contract's order: the field's number in the contract
//	number of fields, then for each, in the contract's order: its number in the contract, the index of its event
//	for each of the ticket's attributes, in the order of the keys: the index of its event, counted from 1; 0 if it has the version of a
//	field
//
// Form 1 had no update times of events and no element changes. It did not store whether the creation or a snapshot is recorded: that is so
// if the ticket is complete.
func MarshalState(r *ticket.State) (content, stamps []byte) {
	keys := sortedKeys(r.Ticket.Attributes)
	events := eventsOf(&r.Versions, keys)
	place := func(v ticket.Version) uint64 {
		i, _ := slices.BinarySearchFunc(events, v, ticket.Version.Compare)
		return uint64(i)
	}

	b := append(make([]byte, 0, 64+64*len(events)+len(keys)), versionsForm)
	b = protowire.AppendVarint(b, uint64(len(events)))
	for _, event := range events {
		b = appendMoment(b, event.Time)
		b = appendOptionalMoment(b, event.UpdateTime)
		b = protowire.AppendString(b, event.EventID)
	}
	b = appendOptionalMoment(b, r.Versions.ProviderUpdateTime)
	b = protowire.AppendVarint(b, protowire.EncodeBool(r.Versions.Whole))
	b = protowire.AppendVarint(b, uint64(r.Versions.ElementChanges.Len()))
	for f := range r.Versions.ElementChanges.All() {
		b = protowire.AppendVarint(b, uint64(numbers[f]))
	}
	named := 0
	for _, version := range r.Versions.Fields {
		if version != (ticket.Version{}) {
			named++
		}
	}
	b = protowire.AppendVarint(b, uint64(named))
	for f := range ticket.Fields() {
		if version := r.Versions.Fields[f]; version != (ticket.Version{}) {
			b = protowire.AppendVarint(b, uint64(numbers[f]))
			b = protowire.AppendVarint(b, place(version))
		}
	}
	for _, key := range keys {
		if version, ok := r.Versions.Attributes[key]; ok {
			b = protowire.AppendVarint(b, place(version)+1)
		} else {
			b = append(b, 0)
		}
	}
	return marshalTicket(&r.Ticket), b
}

const (
	// usualEvents is the maximum number of events that set the values of most tickets.
	usualEvents = 10
	// versionsForm is the number of the form in which versions are stored. The first form has number 1.
	versionsForm = 2
	// firstVersionsForm is the oldest form, which can still be read.
	firstVersionsForm = 1
)

// eventsOf returns the distinct versions of a state, in order.
func eventsOf(versions *ticket.Versions, attributeKeys []string) []ticket.Version {
	events := append(make([]ticket.Version, 0, usualEvents), versions.Latest)
	// Neighbours usually come from the same event. To skip repeats here makes the list that is sorted short.
	add := func(v ticket.Version) {
		if v != events[len(events)-1] && v != (ticket.Version{}) {
			events = append(events, v)
		}
	}
	for _, version := range versions.Fields {
		add(version)
	}
	for _, key := range attributeKeys {
		add(versions.Attributes[key])
	}
	slices.SortFunc(events, ticket.Version.Compare)
	return slices.Compact(events)
}

func appendMoment(b []byte, i ticket.Instant) []byte {
	b = protowire.AppendVarint(b, protowire.EncodeZigZag(i.Seconds))
	return protowire.AppendVarint(b, uint64(i.Nanos))
}

func appendOptionalMoment(b []byte, i ticket.Instant) []byte {
	if !i.Set {
		return append(b, 0)
	}
	return appendMoment(append(b, 1), i)
}

// UnmarshalState is the inverse of [MarshalState]. If the bytes are malformed, it returns an error that does not contain them. It returns
// [ticket.ErrNewerVersion] if the state has data that this version does not know: to write the state again without that data would lose the
// data.
func UnmarshalState(content, stamps []byte) (*ticket.State, error) {
	t, isNewer, err := unmarshalTicket(content)
	if err != nil {
		return nil, err
	}
	r := &ticket.State{Ticket: t}
	if len(stamps) == 0 || stamps[0] == 0 {
		return nil, errMalformed
	}
	form := stamps[0]
	if isNewer || form > versionsForm {
		return nil, ticket.ErrNewerVersion
	}
	p := parser{rest: stamps[1:]}
	events := make([]ticket.Version, 0, usualEvents)
	for range p.count() {
		version := ticket.Version{Time: p.moment()}
		if form > firstVersionsForm {
			version.UpdateTime = p.optionalMoment()
		}
		version.EventID = p.text()
		events = append(events, version)
	}
	event := func(place uint64) ticket.Version {
		if place >= uint64(len(events)) {
			p.fail(errMalformed)
			return ticket.Version{}
		}
		return events[place]
	}
	r.Versions.Latest = event(uint64(len(events)) - 1)
	r.Versions.ProviderUpdateTime = p.optionalMoment()
	if form == firstVersionsForm {
		r.Versions.Whole = t.Complete
	} else {
		r.Versions.Whole = p.number() != 0
		for range p.count() {
			r.Versions.ElementChanges = r.Versions.ElementChanges.With(p.field())
		}
	}
	for range p.count() {
		f := p.field()
		r.Versions.Fields[f] = event(p.number())
	}
	for _, key := range sortedKeys(t.Attributes) {
		place := p.number()
		if place == 0 {
			continue
		}
		if r.Versions.Attributes == nil {
			r.Versions.Attributes = make(map[string]ticket.Version, len(t.Attributes))
		}
		r.Versions.Attributes[key] = event(place - 1)
	}
	if form == firstVersionsForm {
		r.SettleAttributes()
	}
	return r, p.end()
}

// UnmarshalTicket returns the ticket of a state's content for reading. It skips unknown fields. The error is that of [ticket.DecodeError]
// for the ticket. It does not contain the content.
func UnmarshalTicket(ticketID string, content []byte) (ticket.Ticket, error) {
	t, _, err := unmarshalTicket(content)
	if err != nil {
		return t, ticket.DecodeError(ticketID, err)
	}
	return t, nil
}

// UnmarshalEvent completes an event, which has its ids, its name and its sequence number, with the other stored data. The error is that of
// [ticket.DecodeError] for its ticket. After [ticket.ErrNewerVersion] the event has everything that this version knows.
func UnmarshalEvent(e *ticket.Event, occurTime, receiveTime string, content []byte) error {
	var errs [3]error
	e.OccurTime, errs[0] = ticket.ParseSortableText(occurTime)
	e.ReceiveTime, errs[1] = ticket.ParseSortableText(receiveTime)
	e.ChangedFields, errs[2] = UnmarshalChangedFields(content)
	if err := errors.Join(errs[:]...); err != nil {
		return ticket.DecodeError(e.TicketID, err)
	}
	return nil
}

// MarshalValues returns the values of a change as a message Ticket of the contract. The message has only what the event named.
func MarshalValues(c *ticket.Change) []byte {
	return marshalTicket(&c.Values)
}

// A content has not only numbers of fields, but also numbers that no field can have, because protobuf reserves them. A reader that does not
// know such a number skips it, like an unknown field.
const (
	// versionHasUpdateTime is present if the event's version has an update time. Earlier versions of the service do not write it.
	versionHasUpdateTime protowire.Number = 19000
	// elementChange is added to the number of each field that is an element change.
	elementChange protowire.Number = 19000
)

// MarshalChangedFields returns the registers that an event named, as databases store them. First comes the number of the following numbers.
// Then come the numbers in the contract of the fields, those of the element changes with [elementChange] added, and [versionHasUpdateTime].
// Last come the attributes' keys, each after its length.
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
		c.AttributeKeys = append(c.AttributeKeys, p.text())
	}
	if err := p.end(); err != nil || !newer {
		return c, err
	}
	return c, ticket.ErrNewerVersion
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// parser reads a sequence of varints and strings. After an error it returns zeros.
type parser struct {
	rest []byte
	err  error
}

// fail sets the error if there is none yet.
func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// take removes the n bytes of a value. It fails if n is negative, which means that there is no value.
func (p *parser) take(n int) bool {
	if n < 0 {
		p.fail(errMalformed)
	}
	if p.err != nil {
		return false
	}
	p.rest = p.rest[n:]
	return true
}

func (p *parser) number() uint64 {
	number, n := protowire.ConsumeVarint(p.rest)
	if !p.take(n) {
		return 0
	}
	return number
}

// count reads the number of items that follow. An item has at least one byte, so a number above the remaining bytes is malformed, and
// memory is never allocated for it.
func (p *parser) count() uint64 {
	n := p.number()
	if n > uint64(len(p.rest)) {
		p.fail(errMalformed)
		return 0
	}
	return n
}

// field reads the number of a field in the contract.
func (p *parser) field() ticket.Field {
	f, known := fieldsByNumber[p.number()]
	if !known {
		p.fail(ticket.ErrNewerVersion)
	}
	return f
}

func (p *parser) text() string {
	text, n := protowire.ConsumeBytes(p.rest)
	if !p.take(n) {
		return ""
	}
	return string(text)
}

func (p *parser) moment() ticket.Instant {
	i := ticket.Instant{Set: true, Seconds: protowire.DecodeZigZag(p.number()), Nanos: int32(p.number())}
	if !i.Valid() {
		p.fail(errMalformed)
	}
	return i
}

func (p *parser) optionalMoment() ticket.Instant {
	if p.number() == 0 {
		return ticket.Instant{}
	}
	return p.moment()
}

func (p *parser) end() error {
	if len(p.rest) > 0 {
		p.fail(errMalformed)
	}
	return p.err
}
