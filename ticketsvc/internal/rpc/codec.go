package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"connectrpc.com/connect"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

var (
	errNotJSON = errors.New("the request is not JSON")
	errMisfit  = errors.New("the request in JSON does not fit its message: it has a field twice, two fields of which one is allowed," +
		" or a value out of range")
)

// jsonCodec encodes and decodes messages as JSON, like Connect's own codec, except for the errors of malformed requests. Connect's error
// quotes the malformed part, which can be words of a tenant. Callers log such errors.
type jsonCodec struct {
	name string
}

// codecs returns the codecs for protobuf, and for the two content types that Connect uses for JSON.
//
// They have no MarshalAppend, so that Connect marshals into a buffer of the message's size. With MarshalAppend, Connect would take a buffer
// of an earlier response, of up to 8 MiB, and hold it until the caller has read the response.
func codecs() connect.HandlerOption {
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

// notJSON returns the error for a request that can't be decoded because of err. If the request is not JSON, the error has the location.
// Otherwise the error names the first wrong field and what that field accepts. It quotes nothing of requests that can contain words of a
// tenant.
func notJSON(data []byte, message proto.Message, err error) error {
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntaxError(data, syntactic.ByteOffset)
	}
	descriptor := message.ProtoReflect().Descriptor()
	c := &jsonChecker{decoder: jsontext.NewDecoder(bytes.NewReader(data)), strict: isStrict(descriptor)}
	err = c.message("", descriptor)
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntaxError(data, syntactic.ByteOffset)
	}
	// The error of an empty request is io.EOF. Connect would treat io.EOF as a stream without a message.
	switch {
	case errors.Is(err, io.EOF):
		return errNotJSON
	case err != nil:
		return err
	default:
		return errMisfit
	}
}

// syntaxError returns the error for data with a syntax error at the offset.
func syntaxError(data []byte, offset int64) error {
	before := data[:offset]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return fmt.Errorf("%w: see line %d, character %d", errNotJSON, bytes.Count(before, []byte{'\n'})+1, utf8.RuneCount(line)+1)
}
