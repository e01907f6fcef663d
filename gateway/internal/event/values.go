package event

import (
	"bytes"
	"iter"
	"strconv"

	"github.com/ticketbridge/ticketbridge/internal/elements"
	"github.com/ticketbridge/ticketbridge/internal/id"
)

// readString reads a string. A number or a boolean stands for its exact text.
func readString(value []byte) (string, reading) {
	switch kind := kindOf(value); kind {
	case aString:
		text, isExact := unquote(value)
		if !isExact {
			return string(text), reading{notUTF8, value}
		}
		return string(text), reading{}
	case aNumber, aBoolean:
		return string(value), reading{form: kind}
	default:
		return "", reading{kind, value}
	}
}

// readID reads an id: a string, an integer, or an object with such an id. Of an object only the id is kept.
func readID(value []byte) (string, reading) {
	found := idIn(value)
	switch {
	case isEmpty(value):
		return "", reading{form: emptyKindOf(value)}
	case found == nil || isNull(found):
		return "", reading{anObject, value}
	}
	switch kind := kindOf(found); {
	case kind == aString, kind == aNumber && !bytes.ContainsAny(found, ".eE"):
		text, r := readString(found)
		if r.exact != nil || !id.Valid(text) {
			return "", reading{noID, found}
		}
		return text, r
	default:
		return "", reading{kind, found}
	}
}

// readIntegerString reads an integer, which newer payloads have as a string.
func readIntegerString(value []byte) (string, reading) {
	text, r := readString(value)
	if r.form == aNumber && !bytes.ContainsAny(value, ".eE") {
		r.form = ""
	}
	return text, r
}

// readObjectName reads a string, or an object that has the string as its name. Of an object only the name is kept.
func readObjectName(value []byte) (string, reading) {
	switch {
	case value[0] != '"' && isEmpty(value):
		return "", reading{form: emptyKindOf(value)}
	case value[0] == '{':
		name := memberOf(value, "name")
		if name == nil || isNull(name) {
			return "", reading{anObject, value}
		}
		return readString(name)
	default:
		return readString(value)
	}
}

// readList reads a list of strings or ids. These values stand for a list, too: an object with numbers as keys, an empty object, an empty
// string, and one element that is no boolean.
func readList(value []byte, f *field) ([]string, reading) {
	l := listReading{field: f}
	switch kind := kindOf(value); {
	case kind != aList && isEmpty(value):
		l.form = emptyKindOf(value)
	case kind == aBoolean:
		return nil, reading{kind, value}
	default:
		for element := range listElements(value) {
			l.add(element)
		}
		if kind == anObject && isNumbered(value) {
			kind = numberedObject
		}
		if kind != aList {
			l.form = kind
		}
	}
	switch {
	case l.unreadable:
		return nil, reading{l.form, value}
	case l.noID:
		return nil, reading{noID, exactList(value)}
	case l.count > elements.Max:
		return nil, reading{tooManyElements, exactList(value)}
	case l.inexact:
		return l.texts, reading{notUTF8, exactList(value)}
	default:
		return l.texts, reading{form: l.form}
	}
}

// exactList returns the JSON that is kept instead of a list that can be read. Of objects in the list only the ids are kept.
func exactList(value []byte) []byte {
	for element := range listElements(value) {
		if element[0] == '{' {
			return jsonList(idsIn(value))
		}
	}
	return value
}

// listElements yields the elements of a list in any of its forms.
func listElements(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		switch {
		case value[0] == '[':
			items(value)(yield)
		case value[0] == '{' && isNumbered(value):
			for _, element := range members(value) {
				if !yield(element) {
					return
				}
			}
		default:
			yield(value)
		}
	}
}

// listReading is the state of [readList].
type listReading struct {
	field *field
	texts []string
	// form is the form of the first element that can't be read. If all can be read, it is the form of the first element in another form than
	// the documented one.
	form                      form
	count                     int
	unreadable, noID, inexact bool
}

func (l *listReading) add(element []byte) {
	if l.unreadable {
		return
	}
	text, r := "", reading{aNull, element}
	if !isNull(element) {
		text, r = l.field.readString(element)
	}
	if r.form == noID {
		l.noID = true
		return
	}
	// An empty object or list is no id.
	if l.unreadable = r.unreadable() || r.form == emptyObject || r.form == emptyList; l.unreadable || l.form == "" {
		l.form = r.form.inList()
	}
	if l.count++; l.count <= elements.Max {
		l.texts = append(l.texts, text)
	}
	l.inexact = l.inexact || r.exact != nil
}

// idsIn returns the exact ids in a list in any form.
func idsIn(value []byte) (ids [][]byte) {
	for element := range listElements(value) {
		ids = append(ids, idIn(element))
	}
	return ids
}

// jsonList returns a JSON list of values.
func jsonList(values [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(values, []byte{','})...), ']')
}

// readCount reads an integer, or its digits in a string.
func readCount(value []byte) (int32, reading) {
	var r reading
	number := value
	switch kind := kindOf(value); kind {
	case aNumber:
	case aString:
		r.form = aString
		if number = value[1 : len(value)-1]; len(number) == 0 || number[0] < '0' || number[0] > '9' {
			return 0, reading{noCount, value}
		}
	default:
		return 0, reading{kind, value}
	}
	count, err := strconv.ParseInt(string(number), 10, 32)
	switch {
	case err != nil && r.form == aString:
		return 0, reading{noCount, value}
	case err != nil:
		return 0, reading{otherCount, value}
	}
	return int32(count), r
}

// isEmpty reports whether a value is an empty object, list or string.
func isEmpty(value []byte) bool {
	switch value[0] {
	case '{', '[':
		return len(bytes.TrimSpace(value[1:len(value)-1])) == 0
	default:
		return string(value) == `""`
	}
}

// emptyKindOf returns the form of an empty value.
func emptyKindOf(value []byte) form {
	switch value[0] {
	case '{':
		return emptyObject
	case '[':
		return emptyList
	default:
		return emptyString
	}
}

// isNumbered reports whether all keys of an object are numbers. PHP writes a list with gaps as such an object.
func isNumbered(object []byte) bool {
	for name := range members(object) {
		if len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool { return r < '0' || r > '9' }) {
			return false
		}
	}
	return true
}

func isNull(value []byte) bool { return string(value) == "null" }
