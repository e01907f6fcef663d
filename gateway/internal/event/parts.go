package event

import (
	"cmp"
	"slices"

	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

// part is one of the objects in event.data that name fields of the ticket.
type part struct {
	// label is the name of the object in a finding, such as "data.delta".
	label string
	// changes is true if a value may be a change, with an old and a new value.
	changes bool
	// members are the fields of the ticket, in the body's order.
	members []member
	// untyped has [change.untyped] of each member, if the part was read from a list of changes. readEntry has then read the changes. Nil for
	// other parts.
	untyped []form
	// delta, ticket and embedded are the values of the members that are not fields themselves. Nil if absent or null.
	delta, ticket, embedded []byte
}

// member is one member of a JSON object.
type member struct {
	name  []byte // unquoted
	value []byte // as it stands in the body
}

// parts are the objects in event.data that name fields of the ticket.
type parts struct {
	data, delta, ticket part
}

func newParts() *parts {
	return &parts{data: part{label: "data"}, delta: part{label: "data.delta", changes: true}, ticket: part{label: "data.ticket"}}
}

// readParts reads the parts of event.data. A value that can't be read as a part is kept, except a delta.
func (t *mapping) readParts(p *parts, data []byte, isUpdate bool) error {
	switch {
	case data == nil:
		t.note("data", "", reading{form: missing})
	case data[0] != '{':
		t.takeUnusable("", "data", data)
	default:
		p.data.read(data, true)
	}
	switch delta := p.data.delta; {
	case delta == nil:
	case delta[0] == '{':
		p.delta.read(delta, false)
	case delta[0] == '[' && !isEmpty(delta):
		if !t.readChanges(&p.delta, delta) && isUpdate {
			return errUnreadableDelta
		}
	case isUpdate && delta[0] != '[':
		return errDeltaForm(kindOf(delta))
	default:
		t.takeUnusable("data", "delta", delta)
	}
	switch ticket := p.data.ticket; {
	case ticket == nil:
	case ticket[0] == '{':
		p.ticket.read(ticket, false)
	default:
		t.takeUnusable("data", "ticket", ticket)
	}
	return nil
}

// read reads the members of an object. Only the outermost part contains the other parts.
func (p *part) read(object []byte, isOutermost bool) {
	for name, value := range members(object) {
		switch {
		case namesToken(name):
		case string(name) == "_embedded":
			p.embedded = nilIfNull(value)
		case string(name) == "delta" && isOutermost:
			p.delta = nilIfNull(value)
		case string(name) == "ticket" && isOutermost:
			p.ticket = nilIfNull(value)
		case (string(name) == "id" || string(name) == "ticketId") && couldBeID(value):
			// Parse has read the ids.
		default:
			if p.members == nil {
				// This capacity is enough for the provider's thirty fields, and small for a short delta.
				p.members = make([]member, 0, min(1+len(object)/32, 32))
			}
			p.members = append(p.members, member{name, value})
		}
	}
}

// couldBeID reports whether a value is an id, or null.
func couldBeID(value []byte) bool {
	if value[0] == '"' || isNull(value) {
		return true
	}
	_, r := readID(value)
	return !r.unreadable()
}

// holdWholeTicket reports whether the event has the ticket beside its changes: the fields that every ticket has.
func (p *parts) holdWholeTicket() bool {
	for _, name := range [...]string{"title", "description", "status"} {
		if p.data.index(name) < 0 && p.ticket.index(name) < 0 {
			return false
		}
	}
	return true
}

// index returns the index of the part's member of that name, or a negative number.
func (p *part) index(name string) int {
	return slices.IndexFunc(p.members, func(m member) bool { return string(m.name) == name })
}

// changeAt returns the change in the part's i-th member, of a field of that kind.
func (p *part) changeAt(i int, kind ticketfields.Kind) change {
	value := p.members[i].value
	switch {
	case p.untyped != nil:
		return change{value, p.untyped[i]}
	case p.changes:
		return readChange(value, kind)
	default:
		return change{value: value}
	}
}

// take sets the ticket's fields, in the order in which the parts count. A field that is set stays.
func (t *mapping) take(p *parts) {
	for _, parts := range [...][]*part{{&p.delta, &p.data}, {&p.ticket}} {
		for _, part := range parts {
			t.takeFields(part)
		}
		for _, part := range parts {
			t.takeEmbedded(part)
		}
	}
}

// takeFields takes the fields that a part names.
func (t *mapping) takeFields(p *part) {
	for i, m := range p.members {
		f := cmp.Or(fields[string(m.name)], undocumented)
		c := p.changeAt(i, f.Kind)
		if f.Contract != "" {
			t.set(f, f.Name, p.label, c)
		} else if kept := t.keep(string(m.name), c.value); kept && c.untyped != "" {
			t.note(p.label, f.Name, reading{c.untyped, c.value})
		}
	}
}

// set sets a modelled field if no earlier part has set it. A value that the field can't hold is kept as its attribute. A finding has the
// value's name and the label of the object that the value is in.
func (t *mapping) set(f *field, name, label string, c change) {
	if t.named.has(f) {
		return
	}
	t.named.add(f)
	var r reading
	switch {
	case c.untyped != "":
		r = reading{c.untyped, c.value}
		if c.untyped == elementChange {
			t.elementChanges.add(f)
		}
	case !isNull(c.value):
		r = f.read(t.ticket, c.value)
		if f.Kind.IsList() && !r.unreadable() {
			t.lists = append(t.lists, heldList{f, label, c.value})
		}
	}
	if r.exact != nil {
		t.keep(f.Attribute(), r.exact)
	}
	if r.form != "" {
		t.note(label, name, r)
	}
}

// takeUnusable takes a value that should be an object and is not. An empty list is PHP's empty object. All other values are kept.
func (t *mapping) takeUnusable(label, name string, value []byte) {
	switch {
	case isNull(value):
		t.note(label, name, reading{form: aNull})
	case value[0] == '[' && isEmpty(value):
		t.note(label, name, reading{form: emptyList})
	default:
		if t.keep(name, value) {
			t.note(label, name, reading{kindOf(value), value})
		}
	}
}

// keep sets an attribute. It reports false if an earlier part has set it.
func (t *mapping) keep(key string, value []byte) bool {
	if _, kept := t.ticket.Attributes[key]; kept {
		return false
	}
	if t.ticket.Attributes == nil {
		t.ticket.Attributes = make(map[string]string)
	}
	t.ticket.Attributes[key] = string(value)
	return true
}

// note adds a finding. label and name are names of the provider's contract; either may be empty.
func (t *mapping) note(label, name string, r reading) {
	if label != "" && name != "" {
		label += "."
	}
	t.findings = append(t.findings, Finding{Field: label + name, Form: string(r.form), Kept: r.exact != nil})
}

func nilIfNull(value []byte) []byte {
	if isNull(value) {
		return nil
	}
	return value
}
