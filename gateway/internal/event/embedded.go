package event

import (
	"cmp"

	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

// embeddedPrefix begins the key of an attribute that is a member of _embedded.
const embeddedPrefix = "_embedded."

// takeEmbedded takes the members of a part's _embedded object.
func (t *mapping) takeEmbedded(p *part) {
	object := p.embedded
	if object == nil {
		return
	}
	if p.changes {
		object = readChange(object, ticketfields.Scalar).value
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
		f := cmp.Or(embeddedFields[string(name)], undocumented)
		c := change{value: value}
		if p.changes {
			c = readChange(value, f.Kind)
		}
		if f == undocumented || f.KeepEmbedded {
			t.keep(embeddedPrefix+string(name), c.value)
		}
		if f != undocumented {
			t.set(f, f.Embedded, label, c)
		}
	}
}
