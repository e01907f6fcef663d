package event

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

// overflowKey is the key of the attribute that has all undocumented fields of an event with too many elements.
const overflowKey = "_overflow"

// heldList is a list that a field of the ticket holds.
type heldList struct {
	*field
	label string
	// value is the list as it stands in the body.
	value []byte
}

// limitElements moves lists to attributes, the largest first, until the request has at most [elements.Max] elements.
func (t *mapping) limitElements() {
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
		list.field.value(t.ticket).SetZero()
		exact := list.exact()
		t.keep(list.Attribute(), exact)
		t.note(list.label, list.Name, reading{tooManyElements, exact})
	}
}

// elements returns the number of elements of the request.
func (t *mapping) elements() int {
	n := len(t.ticket.Attributes) + t.named.len() + t.elementChanges.len()
	if len(t.ticket.Attributes) > 0 {
		n++ // their path in the mask
	}
	for _, l := range t.lists {
		n += l.elements(t.ticket)
	}
	return n
}

// exact returns the JSON that is kept instead of the list.
func (l heldList) exact() []byte {
	if l.Kind == ticketfields.Settings {
		return l.value
	}
	return exactList(l.value)
}

// undocumented returns the number of attributes of fields that the provider does not document.
func (t *mapping) undocumented() int {
	n := 0
	for key := range t.ticket.Attributes {
		if !isDocumented(key) {
			n++
		}
	}
	return n
}

// foldUndocumented replaces the attributes of fields that the provider does not document by one, a JSON object in the order of the names.
func (t *mapping) foldUndocumented() {
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

// isDocumented reports whether the key is that of an attribute of a field that the provider documents. There are some forty such keys.
func isDocumented(key string) bool {
	if name, ok := strings.CutPrefix(key, embeddedPrefix); ok {
		_, known := embeddedFields[name]
		return known
	}
	_, known := fields[key]
	return known || key == "data" || key == "delta" || key == "ticket" || key == "_embedded"
}
