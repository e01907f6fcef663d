package event

import (
	"slices"

	"github.com/ticketbridge/ticketbridge/internal/ticketfields"
)

// The pairs are those of [changeKeys]. The value of a field of an unknown kind can be an object with the keys of a pair, so only the first
// unmistakableKeys pairs count for such a field. removedAdded is the index of the pair that can name elements of a list.
const (
	unmistakableKeys = 3
	removedAdded     = len(changeKeys) - 1
)

var null = []byte("null")

// change is the change of a field in a delta.
type change struct {
	// value is the new value.
	value []byte
	// untyped is the form of a change that does not have the new value; value is then the JSON of the change. It is "" for all other changes.
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

// newOfTwo returns the new value of a list that has an old and a new value. It returns any other list as it is.
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

// areOldAndNew reports whether two elements of a list are the old and the new list, instead of two elements of one list.
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

// couldBeList reports whether a value can be a whole list of that kind, or null for no list. A string is taken for an element of a list.
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

// pair is an object with an old and a new value. A value that is absent is nil.
type pair struct {
	keys     int // index in changeKeys, negative before the first member
	old, new []byte
}

// readPair reads an object whose keys are all from one pair of [changeKeys]. It reports false for any other object.
func readPair(object []byte) (pair, bool) {
	p := pair{keys: -1}
	for name, value := range members(object) {
		if !p.add(name, value) {
			return pair{}, false
		}
	}
	return p, p.keys >= 0
}

// add adds a member. It reports false if the member's name is not a key of the pair.
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

// isChangeOf reports whether the pair is a change of a field of that kind. If not, the object is a value of the field.
func (p pair) isChangeOf(kind ticketfields.Kind) bool {
	switch kind {
	case ticketfields.Unknown:
		return p.keys < unmistakableKeys && p.old != nil && p.new != nil
	case ticketfields.Settings:
		// A setting may have the name of a key. Its value is rarely a list or an object.
		couldBe := func(value []byte) bool { return value == nil || couldBeList(value, kind) }
		return couldBe(p.old) && couldBe(p.new)
	default:
		return true
	}
}

// change returns the change that the pair is. json is the object with the pair: the pair itself, or an entry of a list of changes.
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
