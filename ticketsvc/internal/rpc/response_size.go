package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

// maxSendBytes is the maximum size of a response. Pages are always much smaller; a batch of large tickets may not be. [ticket.MaxBytes]
// follows from it, and so does the maximum size of an event.
const maxSendBytes = 12 << 20

// maxTicketBytes is the maximum size of a ticket in a response. It is enough for a ticket with texts of [ticket.MaxBytes] and the rest of
// that ticket.
const maxTicketBytes = maxSendBytes - 1<<19

// alwaysFitsBytes is the maximum size in protobuf of a ticket that always fits into a response in JSON. In JSON, some characters of one
// byte have six bytes.
const alwaysFitsBytes = maxTicketBytes / 8

// oversizedError is the error for a ticket that is too large for any response. To wait or to ask for less does not help: a list or a stream
// can't pass the ticket. Only an earlier version of the service can have recorded a ticket that is too large in protobuf.
type oversizedError struct {
	ticketID string
	// inJSON is set if the ticket is too large only in JSON, and fits in protobuf.
	inJSON bool
}

// errOversized matches every [oversizedError].
var errOversized = errors.New("the ticket is larger than any response")

func (e *oversizedError) Error() string {
	if e.inJSON {
		return fmt.Sprintf("ticket %q is in JSON larger than the %d MiB that a response has for it: ask for protobuf, in which it fits",
			e.ticketID, maxTicketBytes>>20)
	}
	return fmt.Sprintf("ticket %q is larger than the %d MiB that a response has for it: the fields of its events are too large;"+
		" an operator has to erase it", e.ticketID, maxTicketBytes>>20)
}

// Is implements the method that [errors.Is] calls.
func (e *oversizedError) Is(target error) bool { return target == errOversized }

// checkSize returns an [oversizedError] if a ticket is too large for the response to the call of ctx, and [ticket.ErrTooLargeTogether] if
// the tickets are too large together. Connect's own limit is for what is sent, compressed or not, and its error does not name the ticket.
func checkSize(ctx context.Context, tickets ...*ticketv1.Ticket) error {
	total, err := totalSize(tickets, false)
	if err != nil || total <= alwaysFitsBytes || !respondsInJSON(ctx) {
		return err
	}
	_, err = totalSize(tickets, true)
	return err
}

// totalSize returns the size of the tickets in protobuf or in JSON. Errors: those of checkSize.
func totalSize(tickets []*ticketv1.Ticket, inJSON bool) (total int, err error) {
	for _, t := range tickets {
		size := proto.Size(t)
		if inJSON {
			size = jsonBytes(t.ProtoReflect())
		}
		if size > maxTicketBytes {
			return 0, &oversizedError{ticketID: t.GetTicketId(), inJSON: inJSON}
		}
		total += size
	}
	if total > maxTicketBytes {
		return 0, ticket.ErrTooLargeTogether
	}
	return total, nil
}

// jsonBytes returns an upper bound of the size of a message in JSON. It is close if the message is mostly strings.
func jsonBytes(m protoreflect.Message) int {
	size := len("{}")
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		// A comma or a colon can be followed by a space.
		size += len(`"": , `) + len(field.JSONName())
		switch {
		case field.IsList():
			size += len("[]")
			for i := range value.List().Len() {
				size += len(", ") + jsonValueBytes(field, value.List().Get(i))
			}
		case field.IsMap():
			size += len("{}")
			value.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				size += len(": , ") + jsonValueBytes(field.MapKey(), key.Value()) + jsonValueBytes(field.MapValue(), value)
				return true
			})
		default:
			size += jsonValueBytes(field, value)
		}
		return true
	})
	return size
}

// jsonNumberBytes is an upper bound of the size of a number, a time or a keyword.
const jsonNumberBytes = 40

func jsonValueBytes(field protoreflect.FieldDescriptor, value protoreflect.Value) int {
	switch field.Kind() {
	case protoreflect.StringKind:
		return jsonStringBytes(value.String())
	case protoreflect.EnumKind:
		if known := field.Enum().Values().ByNumber(value.Enum()); known != nil {
			return len(`""`) + len(known.Name())
		}
		return jsonNumberBytes
	case protoreflect.MessageKind:
		return jsonNumberBytes + jsonBytes(value.Message())
	default:
		return jsonNumberBytes
	}
}

func jsonStringBytes(text string) int {
	size := len(`""`) + len(text)
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"', c == '\\', '\b' <= c && c <= '\r' && c != '\v':
			size++
		case c < ' ':
			size += len(`\u0000`) - 1
		}
	}
	return size
}

// respondsInJSON reports whether the response to the call of ctx is in JSON, rather than in protobuf.
func respondsInJSON(ctx context.Context) bool {
	call, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return false
	}
	if call.HTTPMethod() == http.MethodGet {
		return strings.Contains(call.Peer().Query.Get("encoding"), "json")
	}
	return strings.Contains(call.RequestHeader().Get("Content-Type"), "json")
}
