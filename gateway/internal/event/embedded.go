package event

import (
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// embeddedPrefix stands before the name of a member of _embedded in Ticket.attributes.
const embeddedPrefix = "_embedded."

// embeddedField is a member of _embedded that has a field of Ticket, for which it stands in.
type embeddedField struct {
	field
	// key is under which name a value that Ticket can't hold is an attribute.
	key string
	// kept is set where the whole is an attribute as well. The others are users, or no more than the id and names of something.
	kept bool
}

// embeddedFields are the members of _embedded that are not just attributes. Source: the SDK's ticket.
var embeddedFields = map[string]embeddedField{
	"createdBy":  {field: fields["createdBy"], key: "createdBy"},
	"assignedTo": {field: fields["assignedTo"], key: "assignedTo"},
	"category":   {field: fields["category"], key: "category", kept: true},
	"labels":     {field: fields["labels"], key: "labels"},
	"files":      {field: fields["files"], key: "files", kept: true},
	"property": {key: "_embedded.property",
		field: field{"property", propertyID, idInto(func(t *ticketv1.Ticket) *string { return &t.PropertyId }), scalar}},
	"unit": {key: "_embedded.unit", field: field{"unit", unitName, readUnitName, scalar}},
}

// readUnitName reads a unit, or its name alone. No more than the name is kept.
func readUnitName(ticket *ticketv1.Ticket, value []byte) (r reading) {
	name := value
	switch {
	case value[0] != '"' && isEmpty(value):
		return reading{form: emptyKindOf(value)}
	case value[0] == '{':
		if name = memberOf(value, "name"); name == nil || isNull(name) {
			return reading{anObject, value}
		}
	}
	ticket.UnitName, r = readString(name)
	return r
}

// takeEmbedded takes what a part's _embedded object names.
func (t *translation) takeEmbedded(p *part) {
	object := p.embedded
	if object == nil {
		return
	}
	if p.changes {
		object = readChange(object, scalar).value
	}
	if object[0] != '{' {
		t.takeUnusable(p.label, "_embedded", object)
		return
	}
	label := p.label + "._embedded"
	for name, value := range members(object) {
		if namesToken(name) {
			continue
		}
		f, known := embeddedFields[string(name)]
		c := change{value: value}
		if p.changes {
			c = readChange(value, f.shape)
		}
		if !known || f.kept {
			t.keep(embeddedPrefix+string(name), c.value)
		}
		if known {
			t.set(f.field, f.key, label, c)
		}
	}
}
