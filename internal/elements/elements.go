// Package elements counts the elements of a message of the contract before it is decoded, and has the contract's limits for the entries of
// a call, which both services keep to.
//
// An element is an entry of a repeated field or of a map, at any depth: a custom setting and each of its attributes, an attribute, a tag, a
// channel, the id of a label or of a file, a path of a mask, a condition of a filter. An empty element takes two bytes on the wire, and
// more than a hundred in memory.
package elements

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// Max is the maximum number of elements of a message of the contract, and of an event of a batch. The comments of the contract name it.
	Max = 10_000
	// MaxInBatch is the maximum number of elements of all events of a batch together. The comments of the contract name it too.
	MaxInBatch = 20_000
	// MaxBatchEvents is the maximum number of events of a batch. The comments of the contract name it too.
	MaxBatchEvents = 512
	// MaxBatchBytes is the maximum size of the request of a batch. The comments of the contract name it too.
	MaxBatchBytes = 16 << 20
	// MaxErasures is the maximum number of erasures that one call can repeat.
	MaxErasures = 100
	// MaxLogPositions is the maximum number of log positions that one call can check.
	MaxLogPositions = 1000
)

// InProto returns the number of elements of a message in its protobuf form. It stops counting at one more than [Max].
//
// Fields that the descriptor does not know are not counted, because they stay packed. The error is that of a form that can't be decoded.
func InProto(data []byte, of protoreflect.MessageDescriptor) (int, error) {
	return countProto(data, of, Max)
}

// countProto returns the number of elements of a message. It stops counting at one more than limit.
func countProto(data []byte, of protoreflect.MessageDescriptor, limit int) (int, error) {
	count := 0
	for len(data) > 0 && count <= limit {
		number, wireType, content, rest, err := cutField(data)
		if err != nil {
			return 0, err
		}
		data = rest
		field := of.Fields().ByNumber(number)
		if field == nil {
			continue
		}
		switch {
		case field.Cardinality() != protoreflect.Repeated:
		case wireType == protowire.BytesType && isPackable(field.Kind()):
			count += packed(content, field.Kind())
		default:
			count++
		}
		if field.Message() != nil {
			within, err := countProto(content, field.Message(), limit)
			if err != nil {
				return 0, err
			}
			count += within
		}
	}
	return min(count, limit+1), nil
}

// cutField returns the first field of a message, and the rest after it. content is the content of a field of bytes, and nil for any other
// field.
func cutField(data []byte) (number protowire.Number, wireType protowire.Type, content, rest []byte, err error) {
	number, wireType, n := protowire.ConsumeTag(data)
	if n < 0 {
		return 0, 0, nil, nil, protowire.ParseError(n)
	}
	data = data[n:]
	if wireType == protowire.BytesType {
		content, n = protowire.ConsumeBytes(data)
	} else {
		n = protowire.ConsumeFieldValue(number, wireType, data)
	}
	if n < 0 {
		return 0, 0, nil, nil, protowire.ParseError(n)
	}
	return number, wireType, content, data[n:], nil
}

// Entry is the size of one message of a list.
type Entry struct {
	// Bytes is its size on the wire. In JSON this includes the comma and the white space before it.
	Bytes int
	// Elements is the number of elements within it.
	Elements int
}

// EntriesInProto returns the entries of a list of messages, in their order. data is the protobuf form of the message that has the list as a
// field. It stops counting at one more than limit, entries and elements together. Then the last entry may be counted in part.
func EntriesInProto(data []byte, list protoreflect.FieldDescriptor, limit int) ([]Entry, error) {
	var entries []Entry
	for count := 0; len(data) > 0 && count <= limit; {
		number, wireType, content, rest, err := cutField(data)
		if err != nil {
			return nil, err
		}
		data = rest
		if number != list.Number() || wireType != protowire.BytesType {
			continue
		}
		within, err := countProto(content, list.Message(), limit)
		if err != nil {
			return nil, err
		}
		entries = append(entries, Entry{Bytes: len(content), Elements: within})
		count += 1 + within
	}
	return entries, nil
}

// isPackable reports whether the elements of a list of that kind may be packed into one field.
func isPackable(kind protoreflect.Kind) bool {
	switch kind {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return false
	default:
		return true
	}
}

// packed returns the number of elements that are packed into one field.
func packed(content []byte, kind protoreflect.Kind) int {
	switch kind {
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return len(content) / 4
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return len(content) / 8
	default:
		count := 0
		for _, b := range content {
			if b < 0x80 { // The last byte of a varint.
				count++
			}
		}
		return count
	}
}

// InJSON returns the number of elements of a message in its JSON form. It stops counting at one more than [Max].
//
// The error is a [*jsontext.SyntacticError] if data is not JSON. JSON of another form than the message's is not an error here.
func InJSON(data []byte, of protoreflect.MessageDescriptor) (int, error) {
	c := newJSONCounter(data, Max)
	if err := c.message(of); err != nil {
		return 0, err
	}
	return min(c.count, Max+1), nil
}

// EntriesInJSON is like [EntriesInProto], for the JSON form. The errors are those of [InJSON].
func EntriesInJSON(data []byte, list protoreflect.FieldDescriptor, limit int) ([]Entry, error) {
	c := newJSONCounter(data, limit)
	c.list = list
	err := c.message(list.ContainingMessage())
	return c.entries, err
}

type jsonCounter struct {
	decoder *jsontext.Decoder
	// count is the number of elements so far. There is no need to count further than to one more than limit.
	count, limit int
	// list is the list whose entries are wanted, nil for none.
	list    protoreflect.FieldDescriptor
	entries []Entry
}

func newJSONCounter(data []byte, limit int) *jsonCounter {
	return &jsonCounter{limit: limit,
		decoder: jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
}

// message counts the elements of the next value, which is a message.
func (c *jsonCounter) message(of protoreflect.MessageDescriptor) error {
	switch kind := c.decoder.PeekKind(); {
	case kind == jsontext.KindBeginObject:
		return c.within(func() error {
			name, err := c.decoder.ReadToken()
			if err != nil {
				return err
			}
			field := of.Fields().ByJSONName(name.String())
			if field == nil {
				field = of.Fields().ByTextName(name.String())
			}
			return c.field(field)
		})
	case kind == jsontext.KindString && of.FullName() == "google.protobuf.FieldMask":
		paths, err := c.decoder.ReadValue()
		c.count += bytes.Count(paths, []byte{','}) + 1
		return err
	default:
		return c.decoder.SkipValue()
	}
}

// field counts the elements of the next value, which is the value of a field. A nil field is one that the message does not have.
func (c *jsonCounter) field(field protoreflect.FieldDescriptor) error {
	kind := c.decoder.PeekKind()
	switch {
	case field == nil:
		return c.decoder.SkipValue()
	case field.IsMap() && kind == jsontext.KindBeginObject:
		return c.within(func() error {
			c.count++
			if err := c.decoder.SkipValue(); err != nil { // The key.
				return err
			}
			return c.value(field.MapValue())
		})
	case field.IsList() && kind == jsontext.KindBeginArray:
		return c.within(func() error {
			c.count++
			if field == c.list {
				return c.entry()
			}
			return c.value(field)
		})
	default:
		return c.value(field)
	}
}

// entry counts the elements of the next value, which is an entry of the list.
func (c *jsonCounter) entry() error {
	begin, count := c.decoder.InputOffset(), c.count
	err := c.value(c.list)
	c.entries = append(c.entries, Entry{Bytes: int(c.decoder.InputOffset() - begin), Elements: c.count - count})
	return err
}

// value counts the elements of the next value, which is one value of a field.
func (c *jsonCounter) value(field protoreflect.FieldDescriptor) error {
	if field.Message() == nil {
		return c.decoder.SkipValue()
	}
	return c.message(field.Message())
}

// within calls read at each member of the next object, or each element of the next array, until there are more elements than the limit.
func (c *jsonCounter) within(read func() error) error {
	if _, err := c.decoder.ReadToken(); err != nil {
		return err
	}
	for {
		switch c.decoder.PeekKind() {
		case jsontext.KindEndObject, jsontext.KindEndArray:
			_, err := c.decoder.ReadToken()
			return err
		}
		if err := read(); err != nil || c.count > c.limit {
			return err
		}
	}
}
