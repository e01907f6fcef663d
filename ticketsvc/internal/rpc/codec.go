package rpc

import (
	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// codec is a [connect.Codec] without MarshalAppend, so that Connect marshals into a buffer of the message's size. With MarshalAppend,
// Connect would take a buffer of an earlier response, of up to 8 MiB, and hold it until the caller has read the response.
type codec struct {
	name      string
	marshal   func(proto.Message) ([]byte, error)
	unmarshal func([]byte, proto.Message) error
}

// withCodecs sets the codecs for protobuf, and for the two content types that Connect uses for JSON.
func withCodecs() connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithCodec(protoCodec()), connect.WithCodec(jsonCodec("json")),
		connect.WithCodec(jsonCodec("json; charset=utf-8")))
}

func protoCodec() codec {
	return codec{name: "proto", marshal: proto.Marshal, unmarshal: proto.Unmarshal}
}

// jsonCodec returns a codec that is like Connect's own, except for the errors of malformed requests. Connect's error quotes the malformed
// part, which can be words of a tenant. Callers log such errors.
func jsonCodec(name string) codec {
	return codec{name: name, marshal: protojson.Marshal, unmarshal: func(data []byte, message proto.Message) error {
		// There are no bytes for requests to our services, because [requestBody] reads these.
		if len(data) == 0 {
			return nil
		}
		if err := unmarshalJSON(data, message); err != nil {
			return notJSON(data, message, err)
		}
		return nil
	}}
}

// Name implements [connect.Codec].
func (c codec) Name() string { return c.name }

// Marshal implements [connect.Codec].
func (c codec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, errNotMessage
	}
	return c.marshal(m)
}

// Unmarshal implements [connect.Codec].
func (c codec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return errNotMessage
	}
	return c.unmarshal(data, m)
}

// unmarshalJSON decodes a message.
//
// A request of TicketService must have no unknown fields: if a condition of a filter were ignored, because its name is mistyped or newer
// than this version, the filter would select more than was asked for. Unknown fields of other requests are ignored, as in protobuf.
func unmarshalJSON(data []byte, message proto.Message) error {
	return protojson.UnmarshalOptions{DiscardUnknown: !isStrict(message.ProtoReflect().Descriptor())}.Unmarshal(data, message)
}

// isStrict reports whether a message is one of TicketService. Such messages contain no words of a tenant.
func isStrict(message protoreflect.MessageDescriptor) bool {
	return message.ParentFile() == ticketv1.File_allthings_ticket_v1_ticket_service_proto
}
