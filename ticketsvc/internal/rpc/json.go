package rpc

import (
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

var (
	errNotJSON    = errors.New("the request is not JSON of its message's form")
	errNotMessage = errors.New("not a protobuf message")
)

// jsonCodec reads and writes messages as JSON, as Connect's own codec does, but for the error of a request that can't be read: Connect's
// quotes the part that it stumbled over, and that can be what a tenant wrote. An error like that ends up in callers' logs.
type jsonCodec struct {
	name string
}

// jsonCodecs are for the two content types that Connect knows JSON by.
func jsonCodecs() connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithCodec(jsonCodec{"json"}), connect.WithCodec(jsonCodec{"json; charset=utf-8"}))
}

// Name implements [connect.Codec].
func (c jsonCodec) Name() string { return c.name }

// Marshal implements [connect.Codec].
func (c jsonCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend is what Connect calls instead of Marshal, with a buffer that it uses again.
func (c jsonCodec) MarshalAppend(to []byte, message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, errNotMessage
	}
	return protojson.MarshalOptions{}.MarshalAppend(to, m)
}

// Unmarshal implements [connect.Codec]. Fields that are not known are passed over, so that newer callers are understood.
func (c jsonCodec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return errNotMessage
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, m); err != nil {
		return errNotJSON
	}
	return nil
}
