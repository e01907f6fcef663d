package translate

import "slices"

// part is one of the objects in event.data that name fields of the ticket.
type part struct {
	source source
	// members are the fields of the ticket, in the body's order.
	members []member
	// delta, ticket and embedded are the values of the members that are not fields themselves. Nil when absent or null.
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

// source says how members of one object in a body are read and named.
type source struct {
	// label is what an error calls the object, such as "data.delta".
	label string
	// prefix stands before a member's name in Ticket.attributes.
	prefix string
	// changes is set where a value may say what was and what is.
	changes bool
}

// embedded returns the source of the object's _embedded member.
func (s source) embedded() source {
	return source{label: s.label + "._embedded", prefix: "_embedded.", changes: s.changes}
}

// mismatch returns the error for the object's member of that name, which has to be one that the contract has.
func (s source) mismatch(name []byte, err error) *Error {
	return &Error{Reason: s.label + "." + string(name) + ": " + err.Error()}
}

func readParts(data []byte) (parts, error) {
	var p parts
	if data == nil || data[0] != '{' {
		return p, &Error{Reason: "data: " + wantObject.Error()}
	}
	var err error
	if p.data, err = readPart(source{label: "data"}, data); err != nil {
		return p, err
	}
	if p.delta, err = readNestedPart(source{label: "data.delta", changes: true}, p.data.delta); err != nil {
		return p, err
	}
	p.ticket, err = readNestedPart(source{label: "data.ticket"}, p.data.ticket)
	return p, err
}

// readNestedPart reads the delta or the ticket in event.data, which hold no such parts themselves.
func readNestedPart(source source, object []byte) (part, error) {
	p, err := readPart(source, object)
	switch {
	case err != nil:
		return p, err
	case p.delta != nil:
		return p, source.mismatch([]byte("delta"), notExpected)
	case p.ticket != nil:
		return p, source.mismatch([]byte("ticket"), notExpected)
	}
	return p, nil
}

// usualMembers is more than the members of a ticket with every field that the SDK knows.
const usualMembers = 32

// readPart sorts the members of an object. A nil object gives an empty part.
func readPart(source source, object []byte) (part, error) {
	p := part{source: source}
	if object == nil {
		return p, nil
	}
	if object[0] != '{' {
		return p, &Error{Reason: source.label + ": " + wantObject.Error()}
	}
	for name, value := range members(object) {
		switch string(name) {
		case "id", "ticketId", tokenName:
			// The envelope has read the ids, and a token is not for keeping.
		case "delta":
			p.delta = nilIfNull(value)
		case "ticket":
			p.ticket = nilIfNull(value)
		case "_embedded":
			p.embedded = nilIfNull(value)
		default:
			if p.members == nil {
				p.members = make([]member, 0, usualMembers)
			}
			p.members = append(p.members, member{name: name, value: value})
		}
	}
	return p, nil
}

// holdWholeTicket reports whether the event has, beside its changes, all that a ticket can't be without.
func (p *parts) holdWholeTicket() bool {
	for _, name := range [...]string{"title", "description", "status"} {
		if !p.data.has(name) && !p.ticket.has(name) {
			return false
		}
	}
	return true
}

func (p *part) has(name string) bool {
	return slices.ContainsFunc(p.members, func(m member) bool { return string(m.name) == name })
}

// translate fills the ticket, from the parts whose values count most to those that count least. What is filled already stays.
func (t *translation) translate(p parts) error {
	for _, parts := range [...][]*part{{&p.delta, &p.data}, {&p.ticket}} {
		for _, part := range parts {
			if err := t.takeFields(part); err != nil {
				return err
			}
		}
		for _, part := range parts {
			if err := t.takeEmbedded(part); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeFields takes the fields that a part names.
func (t *translation) takeFields(p *part) error {
	for _, m := range p.members {
		field, known := fields[string(m.name)]
		value := m.value
		if p.source.changes {
			var err error
			if value, err = newValue(value, field.shape(known)); err != nil {
				return p.source.mismatch(m.name, err)
			}
		}
		if field.decode == nil {
			t.keep(p.source, m.name, value)
		} else if err := t.set(field, p.source, m.name, value); err != nil {
			return err
		}
	}
	return nil
}

// set gives a modelled field its value, unless a part that counts more has.
func (t *translation) set(field field, source source, name, value []byte) error {
	if t.named.has(field.path) {
		return nil
	}
	t.named.add(field.path)
	if isNull(value) {
		return nil
	}
	exact, err := field.decode(t.ticket, value)
	if err != nil {
		return source.mismatch(name, err)
	}
	if exact != nil {
		t.keep(source, name, exact)
	}
	return nil
}

// keep notes a value as an attribute, unless a part that counts more has.
func (t *translation) keep(source source, name, value []byte) {
	key := source.prefix + string(name)
	if _, kept := t.ticket.Attributes[key]; kept {
		return
	}
	if t.ticket.Attributes == nil {
		t.ticket.Attributes = make(map[string]string)
	}
	t.ticket.Attributes[key] = string(value)
}
