package event

import (
	"cmp"
	"strings"

	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

// readChanges reads a delta that is a list of changes, each {field, old, new} or an operation of JSON Patch. If several entries change a
// field, the last one counts, but changes of a list's elements are all kept. An entry that can't be read is kept. readChanges reports false
// if no entry can be read.
func (t *mapping) readChanges(p *part, list []byte) bool {
	var unread [][]byte
	var sources [][][]byte // of each member, the entries of the list that it comes from
	indexes := map[string]int{}
	anyRead := false
	for entry := range items(list) {
		name, c, result := readEntry(entry)
		anyRead = anyRead || result != entryUnread
		if result == entryUnread || result == entryInPart {
			unread = append(unread, entry)
		}
		switch {
		case result == entryUnread, result == entryDropped:
			continue
		case name == "_embedded":
			p.embedded = nilIfNull(c.value)
			continue
		}
		i, named := indexes[name]
		if !named {
			i = len(p.members)
			indexes[name] = i
			p.members = append(p.members, member{name: []byte(name)})
			p.untyped = append(p.untyped, "")
			sources = append(sources, nil)
		}
		p.members[i].value, p.untyped[i] = c.value, c.untyped
		if c.untyped == "" {
			sources[i] = sources[i][:0]
		}
		sources[i] = append(sources[i], entry)
	}
	for i, form := range p.untyped {
		if form != "" {
			p.members[i].value = jsonList(sources[i])
		}
	}
	if len(unread) > 0 {
		unread := jsonList(unread)
		t.keep("delta", unread)
		t.note(p.label, "", reading{unreadableChange, unread})
	} else {
		t.note(p.label, "", reading{form: listOfChanges})
	}
	return anyRead
}

// entryResult is the outcome of reading an entry in a list of changes.
type entryResult int

const (
	// entryUnread is an entry that can't be read.
	entryUnread entryResult = iota
	// entryRead is an entry that was read.
	entryRead
	// entryInPart is an entry that was read, but has members that can't be read.
	entryInPart
	// entryDropped is an entry that is neither used nor kept.
	entryDropped
)

// readEntry reads an entry in a list of changes. name is the name of the field.
func readEntry(entry []byte) (name string, c change, result entryResult) {
	if entry[0] != '{' {
		return "", c, entryUnread
	}
	if isTokenChange(entry) {
		return "", c, entryDropped
	}
	var field, path, op, value []byte
	pair, result := pair{keys: -1}, entryRead
	for name, v := range members(entry) {
		if namesToken(name) {
			continue
		}
		switch string(name) {
		case "field":
			field = v
		case "path":
			path = v
		case "op":
			op = v
		case "value":
			value = v
		default:
			if !pair.add(name, v) {
				result = entryInPart
			}
		}
	}
	if field != nil && path != nil {
		result = entryInPart
	}
	name, within, ok := fieldNamed(field, path)
	f := cmp.Or(fields[name], undocumented)
	switch {
	case !ok, name == "delta", name == "ticket":
		result = entryUnread
	case name == "id", name == "ticketId":
		result = entryDropped
	case op != nil && !isPatch(op), within && !f.Kind.IsList():
		result = entryUnread
	case within:
		c = change{value: entry, untyped: elementChange}
	case op != nil && string(op) == `"remove"`:
		c = change{value: null}
	case op != nil && value != nil, pair.keys >= 0 && pair.new == nil && value != nil:
		c = change{value: value}
	case op == nil && pair.keys == removedAdded && f.Kind == ticketfields.Unknown:
		// Whether the field is a list is not known.
		result = entryUnread
	case op == nil && pair.keys >= 0:
		c = pair.change(entry, f.Kind)
	case op == nil && value != nil:
		c = readChange(value, f.Kind)
	default:
		result = entryUnread
	}
	return name, c, result
}

// fieldNamed returns the name of the field that an entry changes. It reports within if the entry changes a part of the field only. path is
// a JSON Pointer; its first slash may be missing.
func fieldNamed(field, path []byte) (name string, within, ok bool) {
	isPath := field == nil
	if isPath {
		field = path
	}
	if field == nil || field[0] != '"' {
		return "", false, false
	}
	text, ok := unquote(field)
	name = string(text)
	if isPath {
		name, _, within = strings.Cut(strings.TrimPrefix(name, "/"), "/")
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	}
	return name, within, ok && name != ""
}

// isPatch reports whether an operation of JSON Patch sets or clears a field.
func isPatch(op []byte) bool {
	return string(op) == `"add"` || string(op) == `"replace"` || string(op) == `"remove"`
}
