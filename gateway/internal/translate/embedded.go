package translate

import (
	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// embeddedField is a member of _embedded that has a field of Ticket, for which it stands in.
type embeddedField struct {
	field
	// member is which member of the embedded object has the value. Empty when the value is a list.
	member string
	// kept is set where the whole is an attribute as well. The others are users, or no more than the id and names of something.
	kept bool
}

// embeddedFields are the members of _embedded that are not just attributes. Source: the SDK's ticket.
var embeddedFields = map[string]embeddedField{
	"createdBy":  {member: "id", field: fields["createdBy"]},
	"assignedTo": {member: "id", field: fields["assignedTo"]},
	"category":   {member: "id", field: fields["category"], kept: true},
	"property":   {member: "id", field: field{path: propertyID, decode: idInto(func(t *ticketv1.Ticket) *string { return &t.PropertyId })}},
	"unit":       {member: "name", field: field{path: unitName, decode: textInto(func(t *ticketv1.Ticket) *string { return &t.UnitName })}},
	"labels":     {field: fields["labels"]},
	"files":      {field: fields["files"], kept: true},
}

// takeEmbedded takes what a part's _embedded object names.
func (t *translation) takeEmbedded(p *part) error {
	object := p.embedded
	if p.source.changes {
		var err error
		if object, err = newValue(object, scalar); err != nil {
			return p.source.mismatch([]byte("_embedded"), err)
		}
	}
	if object == nil || isNull(object) {
		return nil
	}
	if object[0] != '{' {
		return p.source.mismatch([]byte("_embedded"), wantObject)
	}
	source := p.source.embedded()
	for name, value := range members(object) {
		if err := t.takeEmbeddedMember(source, name, value); err != nil {
			return err
		}
	}
	return nil
}

func (t *translation) takeEmbeddedMember(source source, name, value []byte) error {
	if string(name) == tokenName {
		return nil
	}
	embedded, known := embeddedFields[string(name)]
	if source.changes {
		var err error
		if value, err = newValue(value, embedded.shape(known)); err != nil {
			return source.mismatch(name, err)
		}
	}
	if !known || embedded.kept {
		t.keep(source, name, value)
	}
	if !known {
		return nil
	}
	if embedded.member != "" && value[0] == '{' {
		// An object without that member says nothing about the field.
		if value = memberOf(value, embedded.member); value == nil {
			return nil
		}
	}
	return t.set(embedded.field, source, name, value)
}
