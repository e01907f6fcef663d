package rpc

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var (
	errNotJSON = errors.New("the request is not JSON")
	errMisfit  = errors.New("the request in JSON does not fit its message: it has a field twice, two fields of which one is allowed," +
		" or a value out of range")
)

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

// jsonChecker finds the first field of a JSON request that protojson rejects, to report what the field accepts. The errors of protojson
// quote the value, and have its location only as line and character.
type jsonChecker struct {
	decoder *jsontext.Decoder
	// strict is set if there must be no unknown fields, and names and values may be quoted.
	strict bool
}

// message checks the next value, which must be a message. path is the path of its field, empty for the request.
func (c *jsonChecker) message(path string, message protoreflect.MessageDescriptor) error {
	switch message.FullName() {
	case "google.protobuf.Timestamp":
		return c.text(path, "a time such as \"2026-01-31T08:00:00Z\"", func(text string) bool {
			_, err := time.Parse(time.RFC3339Nano, text)
			return err == nil
		})
	case "google.protobuf.FieldMask":
		return c.text(path, "a string of field names such as \"title,statusText\"", func(string) bool { return true })
	}
	if kind := c.decoder.PeekKind(); kind != '{' {
		return c.mismatch(path, kind, "an object")
	}
	return c.object(func(name string) error {
		field := message.Fields().ByJSONName(name)
		if field == nil {
			field = message.Fields().ByTextName(name)
		}
		switch {
		case field != nil:
			return c.field(join(path, name), field)
		case c.strict:
			return fmt.Errorf("unknown field %s: use %s", quoted(join(path, name)), names(message))
		default:
			return c.decoder.SkipValue()
		}
	})
}

// field checks the value of a field.
func (c *jsonChecker) field(path string, field protoreflect.FieldDescriptor) error {
	kind := c.decoder.PeekKind()
	switch {
	case kind == 'n':
		return c.decoder.SkipValue()
	case field.IsMap() && kind != '{':
		return c.mismatch(path, kind, "an object")
	case field.IsMap():
		// The keys can be words of a tenant.
		return c.object(func(string) error { return c.value(path+"{}", field.MapValue()) })
	case field.IsList() && kind != '[':
		return c.mismatch(path, kind, "an array")
	case field.IsList():
		if _, err := c.decoder.ReadToken(); err != nil {
			return err
		}
		for i := 0; c.decoder.PeekKind() != ']'; i++ {
			if err := c.value(fmt.Sprintf("%s[%d]", path, i), field); err != nil {
				return err
			}
		}
		_, err := c.decoder.ReadToken()
		return err
	default:
		return c.value(path, field)
	}
}

// value checks one value of a field.
func (c *jsonChecker) value(path string, field protoreflect.FieldDescriptor) error {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return c.message(path, field.Message())
	case protoreflect.EnumKind:
		return c.enum(path, field.Enum())
	case protoreflect.StringKind:
		return c.text(path, "a string", func(string) bool { return true })
	case protoreflect.BytesKind:
		return c.text(path, "a string of base64", isBase64)
	case protoreflect.BoolKind:
		if kind := c.decoder.PeekKind(); kind != 't' && kind != 'f' {
			return c.mismatch(path, kind, "true or false")
		}
		return c.decoder.SkipValue()
	default:
		return c.number(path, field.Kind())
	}
}

// object calls member for each member of the next value, an object, after it has read the name of the member.
func (c *jsonChecker) object(member func(name string) error) error {
	if _, err := c.decoder.ReadToken(); err != nil {
		return err
	}
	for c.decoder.PeekKind() != '}' {
		name, err := c.decoder.ReadToken()
		if err != nil {
			return err
		}
		if err := member(name.String()); err != nil {
			return err
		}
	}
	_, err := c.decoder.ReadToken()
	return err
}

func (c *jsonChecker) text(path, what string, valid func(string) bool) error {
	if kind := c.decoder.PeekKind(); kind != '"' {
		return c.mismatch(path, kind, what)
	}
	token, err := c.decoder.ReadToken()
	if err != nil {
		return err
	}
	if !valid(token.String()) {
		return fmt.Errorf("%s takes %s", path, what)
	}
	return nil
}

func (c *jsonChecker) enum(path string, enum protoreflect.EnumDescriptor) error {
	var known []string
	for i := range enum.Values().Len() {
		known = append(known, string(enum.Values().Get(i).Name()))
	}
	what := strings.Join(known, ", ")
	kind := c.decoder.PeekKind()
	switch kind {
	case '0':
		return c.number(path, protoreflect.Int32Kind)
	case '"':
	default:
		return c.mismatch(path, kind, "one of "+what)
	}
	token, err := c.decoder.ReadToken()
	switch value := token.String(); {
	case err != nil:
		return err
	case slices.Contains(known, value):
		return nil
	case c.strict:
		return fmt.Errorf("%s: %s is not a %s: use %s", path, quoted(value), enum.Name(), what)
	default:
		return fmt.Errorf("%s takes one of %s", path, what)
	}
}

// number checks an integer, which may be in a string.
func (c *jsonChecker) number(path string, kind protoreflect.Kind) error {
	what := "a whole number"
	if kind == protoreflect.Int32Kind {
		what = fmt.Sprintf("a whole number from %d to %d", math.MinInt32, math.MaxInt32)
	}
	if found := c.decoder.PeekKind(); found != '0' && found != '"' {
		return c.mismatch(path, found, what)
	}
	token, err := c.decoder.ReadToken()
	if err != nil {
		return err
	}
	number, err := strconv.ParseFloat(token.String(), 64)
	if err != nil || number != math.Trunc(number) || kind == protoreflect.Int32Kind && (number < math.MinInt32 || number > math.MaxInt32) {
		return fmt.Errorf("%s takes %s", path, what)
	}
	return nil
}

// mismatch returns the error for a value of the wrong kind for its field. If the value is not JSON, mismatch returns the syntax error.
func (c *jsonChecker) mismatch(path string, found jsontext.Kind, what string) error {
	if found == jsontext.KindInvalid {
		_, err := c.decoder.ReadToken()
		return err
	}
	if path == "" {
		path = "the request"
	}
	return fmt.Errorf("%s takes %s", path, what)
}

func isBase64(text string) bool {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	_, err := base64.RawStdEncoding.DecodeString(text)
	return err == nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// names returns the names of a message's fields as a list for an error.
func names(message protoreflect.MessageDescriptor) string {
	var all []string
	for i := range message.Fields().Len() {
		all = append(all, message.Fields().Get(i).JSONName())
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// maxQuoted is the maximum number of bytes of a name or a value that are quoted.
const maxQuoted = 64

func quoted(text string) string { return strconv.Quote(text[:min(len(text), maxQuoted)]) }
