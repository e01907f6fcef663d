package rpc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/rpc"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket/tickettest"
)

// nasty are values that can cause errors: in SQL, in a full-text query, in a log, in a database's rules for strings, or at a limit. Valid
// orders are among them, so that these are tested too.
var nasty = []string{
	"", " ", "\x00", "a\x00b", "\x01", "\x7f\x1b[31m", "x\nforged", "\r\n", "\u2028", "\ufeff", "\ufffd", "\U0010ffff", "\u202eabc",
	"é", "e\u0301", "\u0301", "ß", "ſ", "İ", "ﷺ", "🥶", "👩\u200d👩\u200d👧", "東京",
	"'", `"`, "`", `\`, `\'`, "'; DROP TABLE tickets; --", "%", "_", "$1", "?1", ":a", "@a", "{}", "[", "(", ")",
	"a*", "*", "a:*", "!a", "a & b", "a | b", "a <-> b", "NEAR(a b)", "title:a", "^a", "AND", "OR NOT", "-a", "+", `"a`,
	"NULL", "null", "-1", "0", "1e999", "../..", "<b>",
	"update_time", "update_time desc", "create_time", "create_time desc", "update_time  desc", "UPDATE_TIME", "desc",
	"update_time desc, ticket_id", "AQ", "AAAA", "====",
	strings.Repeat("x", 256), strings.Repeat("x", 257), strings.Repeat("é", 128), strings.Repeat("a ", 200), strings.Repeat("y", 100_000),
}

// plantedIDs are the stored tickets.
var plantedIDs = []string{"t1", "t2", "t\x00", "é🥶", "%", strings.Repeat("i", 256)}

// isTicketID reports whether a field holds ids of tickets, which logs and errors may contain.
func isTicketID(field protoreflect.FieldDescriptor) bool {
	return field.Name() == "ticket_id" || field.Name() == "ticket_ids"
}

// newRequest returns an empty request of a method, with its generated type.
func newRequest(t *testing.T, method protoreflect.MethodDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(method.Input().FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

// drawer makes a request from the values of a fuzzer, for any message.
type drawer struct {
	// choices are the decisions, one byte each. Missing ones are 0.
	choices []byte
	// a and b are strings of valid UTF-8. number is any number.
	a, b   string
	number int64
}

func (d *drawer) choose(n int) int {
	if len(d.choices) == 0 {
		return 0
	}
	choice := d.choices[0]
	d.choices = d.choices[1:]
	return int(choice) % n
}

// fill sets some of a message's fields.
func (d *drawer) fill(message protoreflect.Message) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case d.choose(2) == 0:
		case field.IsList():
			values := message.Mutable(field).List()
			for range []int{1, 2, 3, 16, 17, 100, 101, 1001}[d.choose(8)] {
				values.Append(d.value(field, values.NewElement))
			}
		default:
			message.Set(field, d.value(field, func() protoreflect.Value { return message.NewField(field) }))
		}
	}
}

// value returns a value of a field. empty returns an empty value of a message field.
func (d *drawer) value(field protoreflect.FieldDescriptor, empty func() protoreflect.Value) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(d.text(field))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(d.small()))
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(d.small()))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(d.small())
	case protoreflect.MessageKind:
		value := empty()
		d.fill(value.Message())
		return value
	default:
		panic(fmt.Sprintf("field %s is of a kind for which no value is made up", field.FullName()))
	}
}

// small returns a number that usually has a meaning in a request.
func (d *drawer) small() int64 {
	return []int64{d.number, 0, 1, 4, -1, 1000, tickettest.At(0).Seconds, 999_999_999}[d.choose(8)]
}

func (d *drawer) text(field protoreflect.FieldDescriptor) string {
	switch d.choose(6) {
	case 1:
		return d.b
	case 2:
		return nasty[d.choose(len(nasty))]
	case 3:
		return plantedIDs[d.choose(len(plantedIDs))]
	case 4:
		if !isTicketID(field) {
			return marker
		}
	case 5:
		if !isTicketID(field) {
			return marker + d.a
		}
	}
	return d.a
}

// forge sets the tokens of a request, if it has any, to valid tokens for a position of any bytes.
func (v *victim) forge(request proto.Message, place []byte) {
	for _, name := range []protoreflect.Name{"page_token", "resume_token"} {
		if field := request.ProtoReflect().Descriptor().Fields().ByName(name); field != nil {
			request.ProtoReflect().Set(field, protoreflect.ValueOfString(rpc.Token(request, v.database, place)))
		}
	}
}

// positions are the positions of forged tokens, valid and invalid ones.
var positions = []string{
	"", "\x00", "\x00t1", "\x00\xff", "\x00t\x00", "\x01", "\x02t1",
	"\x01" + strings.Repeat("\x00", 12) + "t1", "\x01" + strings.Repeat("\xff", 12) + "t1",
	"\x01\x00\x00\x00\x00\x6a\x18\xa6\x00\x00\x00\x00\x00\xed\xa0\x80", "\x00" + strings.Repeat("i", 256), "\x00" + strings.Repeat("i", 257),
	strings.Repeat("\x00", 8), strings.Repeat("\x00", 7) + "\x01", strings.Repeat("\xff", 8), "\x7f" + strings.Repeat("\xff", 7),
	strings.Repeat("\x00", 17), strings.Repeat("\x00", 17) + "t1", strings.Repeat("\x00", 16) + "\xff", "\x02" + strings.Repeat("\x00", 16),
	"\x01" + strings.Repeat("\x00", 16), "\x01" + strings.Repeat("\x00", 16) + "t1", "\x01" + strings.Repeat("\x00", 16) + "t\x00",
	"\x01" + strings.Repeat("\x00", 16) + "\xff", "\x01" + strings.Repeat("\x00", 16) + "\xed\xa0\x80",
	"\x00\x7f" + strings.Repeat("\xff", 15), strings.Repeat("\x00", 8) + "\x01" + strings.Repeat("\x00", 8),
}

// nastyRequests returns requests of a method. One field of each has a nasty value. path is the path to the message with that field.
func nastyRequests(t *testing.T, method protoreflect.MethodDescriptor, path []protoreflect.FieldDescriptor) (requests []proto.Message) {
	t.Helper()
	message := method.Input()
	if len(path) > 0 {
		message = path[len(path)-1].Message()
	}
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		set := func(value protoreflect.Value) {
			request := newRequest(t, method)
			within := request.ProtoReflect()
			for _, step := range path {
				within = within.Mutable(step).Message()
			}
			if field.IsList() {
				within.Mutable(field).List().Append(value)
			} else {
				within.Set(field, value)
			}
			requests = append(requests, request)
		}
		switch field.Kind() {
		case protoreflect.MessageKind:
			requests = append(requests, nastyRequests(t, method, append(slices.Clone(path), field))...)
		case protoreflect.StringKind:
			for _, text := range nasty {
				set(protoreflect.ValueOfString(text))
				if !isTicketID(field) {
					set(protoreflect.ValueOfString(marker + text))
				}
			}
		case protoreflect.Int32Kind:
			for _, number := range []int32{-1 << 31, -1, 1, 1<<31 - 1} {
				set(protoreflect.ValueOfInt32(number))
			}
		case protoreflect.Int64Kind:
			for _, number := range []int64{-1 << 63, -62135596801, -62135596800, -1, 253402300799, 253402300800, 1<<63 - 1} {
				set(protoreflect.ValueOfInt64(number))
			}
		case protoreflect.EnumKind:
			for _, number := range []protoreflect.EnumNumber{-1 << 31, -1, 0, 4, 5, 1<<31 - 1} {
				set(protoreflect.ValueOfEnum(number))
			}
		case protoreflect.BoolKind:
			set(protoreflect.ValueOfBool(true))
		default:
			t.Fatalf("field %s is of a kind for which no value is made up", field.FullName())
		}
	}
	return requests
}
