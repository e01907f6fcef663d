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

// jsonCodec reads and writes messages as JSON, as Connect's own codec does, except for the error of a request that can't be read: Connect's
// quotes the part that it stumbled over, and that can be what a tenant wrote. An error like that ends up in callers' logs.
type jsonCodec struct {
	name string
}

// codecs are for protobuf, and for the two content types that Connect knows JSON by.
//
// They have no MarshalAppend, so that Connect marshals into a buffer of the message's size. With it, Connect would take a buffer that an
// earlier answer has left, of up to 8 MiB, and hold it until the caller has read the answer.
func codecs() connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithCodec(protoCodec{}), connect.WithCodec(jsonCodec{"json"}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8"}))
}

// protoCodec reads and writes messages as protobuf.
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

// Unmarshal implements [connect.Codec]. It is given no bytes for the requests to our services, which [requestBody] reads.
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

// unmarshalJSON reads a message.
//
// What a request for tickets says must be known: a condition of a filter that was passed over, because its name is mistyped or newer than
// this version, would select more than was asked for. Of other requests what is not known is passed over, as the protobuf form has it.
func unmarshalJSON(data []byte, message proto.Message) error {
	return protojson.UnmarshalOptions{DiscardUnknown: !isStrict(message.ProtoReflect().Descriptor())}.Unmarshal(data, message)
}

// isStrict reports whether a message is one of TicketService, which has nothing in it that a tenant wrote.
func isStrict(message protoreflect.MessageDescriptor) bool {
	return message.ParentFile() == ticketv1.File_allthings_ticket_v1_ticket_service_proto
}

// notJSON returns the error for a request that can't be read, of which err says that it is not JSON. Otherwise the error names the first
// field that is wrong, and what the field takes. It quotes nothing of requests that a tenant's words can be in.
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
	// A request without anything in it is io.EOF. Connect would take that for a stream without a message.
	switch {
	case errors.Is(err, io.EOF):
		return errNotJSON
	case err != nil:
		return err
	default:
		return errMisfit
	}
}

// syntaxError returns the error for data that is no JSON from that byte on.
func syntaxError(data []byte, offset int64) error {
	before := data[:offset]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return fmt.Errorf("%w: see line %d, character %d", errNotJSON, bytes.Count(before, []byte{'\n'})+1, utf8.RuneCount(line)+1)
}
