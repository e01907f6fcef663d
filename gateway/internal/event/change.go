package event

import (
	"slices"

	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

// The pairs are those of [changeKeys]. The value of an unknown field can be an object with the keys of a pair, so only the first
// pairs count for such a field. removedAdded is the pair that can name elements of a list.
const (
	unmistakableKeys = 3
	removedAdded     = len(changeKeys) - 1
)

var null = []byte("null")

// change is what a delta says of a field.
type change struct {
	// value is the new value.
	value []byte
	// untyped is the form of a change that does not have the new value. It is "" for one that does. Then value is the JSON of the change.
	untyped form
}

// readChange reads a value of a delta, in one of the forms that the package's documentation lists.
func readChange(value []byte, kind ticketfields.Kind) change {
	switch value[0] {
	case '[':
		return change{value: newOfTwo(value, kind)}
	case '{':
		if p, ok := readPair(value); ok && p.isChangeOf(kind) {
			return p.change(value, kind)
		}
	}
	return change{value: value}
}

// newOfTwo returns the second of a list of two values that are an old and a new one, and any other list as it is.
func newOfTwo(list []byte, kind ticketfields.Kind) []byte {
	if kind == ticketfields.Unknown {
		return list
	}
	var two [2][]byte
	n := 0
	for element := range items(list) {
		if n == len(two) {
			return list
		}
		two[n] = element
		n++
	}
	if n < len(two) || kind.IsList() && !areOldAndNew(two, kind) {
		return list
	}
	return two[1]
}

// areOldAndNew reports whether the elements of a list of two are lists, an old and a new one, rather than elements of one list.
func areOldAndNew(two [2][]byte, kind ticketfields.Kind) bool {
	nulls, objects, settings, empty := 0, 0, 0, 0
	for _, value := range two {
		if !couldBeList(value, kind) {
			return false
		}
		switch {
		case isNull(value):
			nulls++
		case isEmpty(value):
			empty++
		}
		if value[0] == '{' {
			objects++
			if memberOf(value, "key") != nil {
				settings++
			}
		}
	}
	switch {
	case nulls == 2:
		return false
	case kind == ticketfields.Settings:
		return objects < 2 || settings == 0
	case kind == ticketfields.Paths:
		return empty < 2
	default:
		return true
	}
}

// couldBeList reports whether a value can be a whole list of that kind, or null for none. A string can't: it is an element, so far as one
// can tell.
func couldBeList(value []byte, kind ticketfields.Kind) bool {
	switch kindOf(value) {
	case aNull:
		return true
	case aList:
		if kind != ticketfields.Paths {
			return true
		}
		for path := range items(value) {
			if path[0] != '[' {
				return false
			}
		}
		return true
	case anObject:
		return kind == ticketfields.Settings || isNumbered(value)
	default:
		return false
	}
}

// pair is an object that says old and new, each nil when it is absent.
type pair struct {
	keys     int // index in changeKeys
	old, new []byte
}

// readPair reads an object all of whose keys are from one pair of [changeKeys]. It reports false for any other object.
func readPair(object []byte) (pair, bool) {
	p := pair{keys: -1}
	for name, value := range members(object) {
		if !p.add(name, value) {
			return pair{}, false
		}
	}
	return p, p.keys >= 0
}

// add adds a member. It reports false when the member's name is not of the pair.
func (p *pair) add(name, value []byte) bool {
	keys := slices.IndexFunc(changeKeys[:], func(keys [2]string) bool {
		return string(name) == keys[0] || string(name) == keys[1]
	})
	if keys < 0 || p.keys >= 0 && keys != p.keys {
		return false
	}
	p.keys = keys
	if string(name) == changeKeys[keys][0] {
		p.old = value
	} else {
		p.new = value
	}
	return true
}

// isChangeOf reports whether the pair is a change of a field of that kind, rather than a value of it.
func (p pair) isChangeOf(kind ticketfields.Kind) bool {
	switch kind {
	case ticketfields.Unknown:
		return p.keys < unmistakableKeys && p.old != nil && p.new != nil
	case ticketfields.Settings:
		// A setting may have the name of a key, but not often a list or an object as its value.
		couldBe := func(value []byte) bool { return value == nil || couldBeList(value, kind) }
		return couldBe(p.old) && couldBe(p.new)
	default:
		return true
	}
}

// change returns the change that the pair reports. json is the value that contains the pair: the pair itself, or an entry of a list.
func (p pair) change(json []byte, kind ticketfields.Kind) change {
	isList := func(value []byte) bool { return value != nil && !isNull(value) && couldBeList(value, kind) }
	switch {
	case p.keys == removedAdded && kind.IsList() && (isList(p.old) || isList(p.new)):
		return change{value: json, untyped: elementChange}
	case p.new != nil:
		return change{value: p.new}
	case kind.IsList():
		return change{value: json, untyped: onlyOld}
	default:
		return change{value: null}
	}
}
