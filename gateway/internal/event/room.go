package event

import (
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/reflect/protoreflect"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
	"github.com/ticketbridge/ticketbridge/internal/elements"
)

// overflowKey is the attribute that has the undocumented fields of an event of which a request has no room for each.
const overflowKey = "_overflow"

// heldList is a list that a field of the ticket holds.
type heldList struct {
	field
	label string
	// value is the list as it stands in the body.
	value []byte
}

// makeRoom moves lists to attributes, the largest first, until the request has no more elements than the contract allows.
func (t *translation) makeRoom() {
	for t.elements() > elements.Max {
		largest, most := -1, t.undocumented()
		for i, l := range t.lists {
			if n := l.elements(t.ticket); n > most {
				largest, most = i, n
			}
		}
		if largest < 0 {
			t.foldUndocumented()
			continue
		}
		list := t.lists[largest]
		list.clear(t.ticket)
		exact := list.exact()
		t.keep(list.name, exact)
		t.note(list.label, list.name, reading{tooManyElements, exact})
	}
}

// elements returns how many elements the request has.
func (t *translation) elements() int {
	n := len(t.ticket.Attributes) + bits.OnesCount32(uint32(t.named)) + bits.OnesCount32(uint32(t.elementChanges))
	if len(t.ticket.Attributes) > 0 && !t.named.has(attributes) {
		n++ // Its path in the mask is still to come.
	}
	for _, l := range t.lists {
		n += l.elements(t.ticket)
	}
	return n
}

// elements returns how many elements the list has in the ticket.
func (l heldList) elements(ticket *ticketv1.Ticket) int {
	switch l.path {
	case channels:
		return len(ticket.Channels)
	case files:
		return len(ticket.FileIds)
	case labels:
		return len(ticket.LabelIds)
	case tags:
		return len(ticket.Tags)
	default:
		n := len(ticket.CustomSettings)
		for _, setting := range ticket.CustomSettings {
			n += len(setting.Attributes)
		}
		return n
	}
}

// clear empties the list's field.
func (l heldList) clear(ticket *ticketv1.Ticket) {
	message := ticket.ProtoReflect()
	message.Clear(message.Descriptor().Fields().ByName(protoreflect.Name(pathNames[l.path])))
}

// exact returns the JSON by which the list is kept.
func (l heldList) exact() []byte {
	if l.path == customSettings {
		return l.value
	}
	return exactList(l.value)
}

// undocumented returns how many attributes are of fields that the provider does not document.
func (t *translation) undocumented() int {
	n := 0
	for key := range t.ticket.Attributes {
		if !isDocumented(key) {
			n++
		}
	}
	return n
}

// foldUndocumented makes one attribute, a JSON object in the order of the names, of those of fields that the provider does not document.
func (t *translation) foldUndocumented() {
	object := []byte{'{'}
	for _, key := range slices.Sorted(maps.Keys(t.ticket.Attributes)) {
		if isDocumented(key) {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		// A key is valid UTF-8, so it can be quoted.
		object, _ = jsontext.AppendQuote(object, key)
		object = append(append(object, ':'), t.ticket.Attributes[key]...)
		delete(t.ticket.Attributes, key)
	}
	object = append(object, '}')
	t.keep(overflowKey, object)
	t.note("data", "", reading{tooManyElements, object})
}

// isDocumented reports whether an attribute is that of a field which the provider documents. There are some forty.
func isDocumented(key string) bool {
	if name, ok := strings.CutPrefix(key, embeddedPrefix); ok {
		_, known := embeddedFields[name]
		return known
	}
	_, known := fields[key]
	return known || key == "data" || key == "delta" || key == "ticket" || key == "_embedded"
}
