package ticketcodec

import (
	"errors"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func fromCustomSettings(settings []ticket.CustomSetting) []*ticketv1.CustomSetting {
	if len(settings) == 0 {
		return nil
	}
	messages := make([]*ticketv1.CustomSetting, len(settings))
	for i, s := range settings {
		messages[i] = &ticketv1.CustomSetting{Key: s.Key, Type: s.Type, Attributes: s.Attributes}
		switch s.Kind {
		case ticket.TextValue:
			messages[i].SettingValue = &ticketv1.CustomSetting_Value{Value: s.Value}
		case ticket.JSONValue:
			messages[i].SettingValue = &ticketv1.CustomSetting_ValueJson{ValueJson: s.Value}
		case ticket.NoValue:
		}
	}
	return messages
}

func toCustomSettings(messages []*ticketv1.CustomSetting) []ticket.CustomSetting {
	if len(messages) == 0 {
		return nil
	}
	settings := make([]ticket.CustomSetting, len(messages))
	for i, m := range messages {
		settings[i] = ticket.CustomSetting{Key: m.GetKey(), Type: m.GetType(), Attributes: m.GetAttributes()}
		switch kind := m.GetSettingValue().(type) {
		case *ticketv1.CustomSetting_Value:
			settings[i].Kind, settings[i].Value = ticket.TextValue, kind.Value
		case *ticketv1.CustomSetting_ValueJson:
			settings[i].Kind, settings[i].Value = ticket.JSONValue, kind.ValueJson
		}
	}
	return settings
}

// FromInstant returns the contract's message for i: nil for none.
func FromInstant(i ticket.Instant) *timestamppb.Timestamp {
	if !i.Set {
		return nil
	}
	return &timestamppb.Timestamp{Seconds: i.Seconds, Nanos: i.Nanos}
}

// ToInstant returns the instant of m. It may not be valid.
func ToInstant(m *timestamppb.Timestamp) ticket.Instant {
	if m == nil {
		return ticket.Instant{}
	}
	return ticket.Instant{Set: true, Seconds: m.GetSeconds(), Nanos: m.GetNanos()}
}

// errMalformed is returned if stored bytes can't be decoded. It does not contain the bytes.
var errMalformed = errors.New("stored bytes are malformed")

// marshalTicket returns t as a message of the contract. Equal tickets have equal bytes within one build of the service.
func marshalTicket(t *ticket.Ticket) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(FromTicket(t))
	if err != nil {
		// The only error is a string that is not UTF-8. All strings of a ticket come from messages, which the runtime checks.
		panic("a ticket can't be marshalled: " + err.Error())
	}
	return b
}

// unmarshalTicket is the inverse of marshalTicket. isNewer reports whether it left out a field that only a newer version knows.
func unmarshalTicket(content []byte) (t ticket.Ticket, isNewer bool, err error) {
	message := &ticketv1.Ticket{}
	if err := proto.Unmarshal(content, message); err != nil {
		return ticket.Ticket{}, false, errMalformed
	}
	t = ToTicket(message)
	for f := range ticket.Fields() {
		if instant, ok := f.Ref(&t).(*ticket.Instant); ok && !instant.Valid() {
			return ticket.Ticket{}, false, errMalformed
		}
	}
	return t, hasUnknown(message.ProtoReflect()), nil
}

// hasUnknown reports whether a message, or a message in it, has a field that this version does not know. The entries of maps are left out:
// protobuf gives them no fields but key and value.
func hasUnknown(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Message() == nil || f.IsMap() || !m.Has(f):
		case f.IsList():
			list := m.Get(f).List()
			for i := range list.Len() {
				if hasUnknown(list.Get(i).Message()) {
					return true
				}
			}
		case hasUnknown(m.Get(f).Message()):
			return true
		}
	}
	return false
}
