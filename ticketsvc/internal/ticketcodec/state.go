// Package ticketcodec encodes tickets and events: a ticket as a message of the contract, and tickets and events as the bytes that databases
// store. The bytes are the same in every database engine.
package ticketcodec

import (
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
func MarshalState(s *ticket.State) (content, versions []byte) {
	keys := sortedKeys(s.Ticket.Attributes)
	events := eventsOf(&s.Versions, keys)
	index := func(v ticket.Version) uint64 {
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
	b = appendOptionalMoment(b, s.Versions.ProviderUpdateTime)
	b = protowire.AppendVarint(b, protowire.EncodeBool(s.Versions.Whole))
	b = protowire.AppendVarint(b, uint64(s.Versions.ElementChanges.Len()))
	for f := range s.Versions.ElementChanges.All() {
		b = protowire.AppendVarint(b, uint64(numbers[f]))
	}
	named := 0
	for _, version := range s.Versions.Fields {
		if version != (ticket.Version{}) {
			named++
		}
	}
	b = protowire.AppendVarint(b, uint64(named))
	for f := range ticket.Fields() {
		if version := s.Versions.Fields[f]; version != (ticket.Version{}) {
			b = protowire.AppendVarint(b, uint64(numbers[f]))
			b = protowire.AppendVarint(b, index(version))
		}
	}
	for _, key := range keys {
		if version, ok := s.Versions.Attributes[key]; ok {
			b = protowire.AppendVarint(b, index(version)+1)
		} else {
			b = append(b, 0)
		}
	}
	return marshalTicket(&s.Ticket), b
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
	// Neighbours usually come from the same event. Without these repeats the list to sort is short.
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
func UnmarshalState(content, versions []byte) (*ticket.State, error) {
	t, isNewer, err := unmarshalTicket(content)
	if err != nil {
		return nil, err
	}
	s := &ticket.State{Ticket: t}
	if len(versions) == 0 || versions[0] == 0 {
		return nil, errMalformed
	}
	form := versions[0]
	if isNewer || form > versionsForm {
		return nil, ticket.ErrNewerVersion
	}
	p := parser{rest: versions[1:]}
	events := make([]ticket.Version, 0, usualEvents)
	for range p.count() {
		version := ticket.Version{Time: p.moment()}
		if form > firstVersionsForm {
			version.UpdateTime = p.optionalMoment()
		}
		version.EventID = p.string()
		events = append(events, version)
	}
	event := func(index uint64) ticket.Version {
		if index >= uint64(len(events)) {
			p.fail(errMalformed)
			return ticket.Version{}
		}
		return events[index]
	}
	s.Versions.Latest = event(uint64(len(events)) - 1)
	s.Versions.ProviderUpdateTime = p.optionalMoment()
	if form == firstVersionsForm {
		s.Versions.Whole = t.Complete
	} else {
		s.Versions.Whole = p.number() != 0
		for range p.count() {
			s.Versions.ElementChanges = s.Versions.ElementChanges.With(p.field())
		}
	}
	for range p.count() {
		f := p.field()
		s.Versions.Fields[f] = event(p.number())
	}
	for _, key := range sortedKeys(t.Attributes) {
		index := p.number()
		if index == 0 {
			continue
		}
		if s.Versions.Attributes == nil {
			s.Versions.Attributes = make(map[string]ticket.Version, len(t.Attributes))
		}
		s.Versions.Attributes[key] = event(index - 1)
	}
	if form == firstVersionsForm {
		s.SettleAttributes()
	}
	return s, p.end()
}

// UnmarshalWithin is like [UnmarshalState] if budget has memory for the state. Its errors name the ticket: [ticket.ErrNoMemory], and those
// of [ticket.DecodeError].
func UnmarshalWithin(budget ticket.MemoryBudget, ticketID string, content, versions []byte) (*ticket.State, error) {
	// A ticket of the maximum size is allowed together with versions of any size, so each asks for memory separately.
	for _, weight := range []ticket.Weight{WeighTicket(content), {Bytes: len(versions)}} {
		if err := budget.Reserve(ticketID, weight); err != nil {
			return nil, err
		}
	}
	state, err := UnmarshalState(content, versions)
	if err != nil {
		return nil, ticket.DecodeError(ticketID, err)
	}
	return state, nil
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

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
