package rpc

import (
	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// jsonCodec encodes and decodes messages as JSON, like Connect's own codec, except for the errors of malformed requests. Connect's error
// quotes the malformed part, which can be words of a tenant. Callers log such errors.
type jsonCodec struct {
	name string
}

// withCodecs sets the codecs for protobuf, and for the two content types that Connect uses for JSON.
//
// They have no MarshalAppend, so that Connect marshals into a buffer of the message's size. With MarshalAppend, Connect would take a buffer
// of an earlier response, of up to 8 MiB, and hold it until the caller has read the response.
func withCodecs() connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithCodec(protoCodec{}), connect.WithCodec(jsonCodec{"json"}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8"}))
}

// protoCodec encodes and decodes messages as protobuf.
type protoCodec struct{}

// Name implements [connect.Codec].
func (protoCodec) Name() string { return "proto" }

// Marshal implements [connect.Codec].
func (protoCodec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, errNotMessage
	}
	return proto.Marshal(m)
}

// Unmarshal implements [connect.Codec].
func (protoCodec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return errNotMessage
	}
	return proto.Unmarshal(data, m)
}

// Name implements [connect.Codec].
func (c jsonCodec) Name() string { return c.name }

// Marshal implements [connect.Codec].
func (c jsonCodec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, errNotMessage
	}
	return protojson.Marshal(m)
}

// Unmarshal implements [connect.Codec]. It gets no bytes for requests to our services, because [requestBody] reads these.
func (c jsonCodec) Unmarshal(data []byte, message any) error {
	if len(data) == 0 {
		return nil
	}
	m, ok := message.(proto.Message)
	if !ok {
		return errNotMessage
	}
	if err := unmarshalJSON(data, m); err != nil {
		return notJSON(data, m, err)
	}
	return nil
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
