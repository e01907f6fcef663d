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

// maxTicketBytes is how large a ticket may be in a response. A ticket of [ticket.MaxBytes] has room in it for what it has beside its texts.
const maxTicketBytes = maxSendBytes - 1<<19

// surelySentBytes is the size in protobuf up to which a ticket fits into a response in JSON too, whatever it holds: there some
// characters of one byte have six.
const surelySentBytes = maxTicketBytes / 8

// oversizedError says that a ticket is too large for any response. It is not for waiting or asking for less: whoever comes to the ticket,
// in a list or a stream, gets no further. Only an earlier version of the service can have recorded one that is so in protobuf.
type oversizedError struct {
	ticketID string
	// inJSON tells that protobuf has room for it.
	inJSON bool
}

// errOversized is what every [oversizedError] is.
var errOversized = errors.New("the ticket is larger than any response")

func (e *oversizedError) Error() string {
	if e.inJSON {
		return fmt.Sprintf("ticket %q is in JSON larger than the %d MiB that a response has for it: ask for protobuf, which has room for it",
			e.ticketID, maxTicketBytes>>20)
	}
	return fmt.Sprintf("ticket %q is larger than the %d MiB that a response has for it: the fields of its events are too large;"+
		" an operator has to erase it", e.ticketID, maxTicketBytes>>20)
}

// Is implements what [errors.Is] asks for.
func (e *oversizedError) Is(target error) bool { return target == errOversized }

// checkSize returns an [oversizedError] when a ticket is too large for the response to the call of ctx, and [ticket.ErrTooLargeTogether]
// when the tickets are so together. Connect's own limit is one of what is sent, compressed or not, and does not tell which ticket it is.
func checkSize(ctx context.Context, tickets ...*ticketv1.Ticket) error {
	total := 0
	for _, t := range tickets {
		size := proto.Size(t)
		if size > maxTicketBytes {
			return &oversizedError{ticketID: t.GetTicketId()}
		}
		total += size
	}
	if total > maxTicketBytes {
		return ticket.ErrTooLargeTogether
	}
	if total <= surelySentBytes || !isAnsweredInJSON(ctx) {
		return nil
	}
	total = 0
	for _, t := range tickets {
		size := jsonBytes(t.ProtoReflect())
		if size > maxTicketBytes {
			return &oversizedError{ticketID: t.GetTicketId(), inJSON: true}
		}
		total += size
	}
	if total > maxTicketBytes {
		return ticket.ErrTooLargeTogether
	}
	return nil
}

// jsonBytes returns an upper bound of the size of a message in JSON. It is close where the message is mostly strings.
func jsonBytes(m protoreflect.Message) int {
	size := len("{}")
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		// Behind a comma or a colon there can be a space.
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

// jsonNumberBytes is an upper bound of the size of a number, a time or a word.
const jsonNumberBytes = 40

func jsonValueBytes(field protoreflect.FieldDescriptor, value protoreflect.Value) int {
	switch field.Kind() {
	case protoreflect.StringKind:
		return jsonTextBytes(value.String())
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

func jsonTextBytes(text string) int {
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

// isAnsweredInJSON tells whether the response to the call of ctx is in JSON, rather than in protobuf.
func isAnsweredInJSON(ctx context.Context) bool {
	call, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return false
	}
	if call.HTTPMethod() == http.MethodGet {
		return strings.Contains(call.Peer().Query.Get("encoding"), "json")
	}
	return strings.Contains(call.RequestHeader().Get("Content-Type"), "json")
}
