package translate

import "slices"

// shape is what has to be known of a field's type to tell a new value from a change that says old and new.
type shape int

const (
	// unknown is the shape of a field that may be of any type.
	unknown shape = iota
	// scalar is the shape of a field that is not a list.
	scalar
	// list is the shape of a field that is a list.
	list
)

// changeKeys are the pairs of keys, old and new, by which an object says a change. Those that hardly any value has by chance come first.
var changeKeys = [...][2]string{{"old", "new"}, {"before", "after"}, {"from", "to"}, {"removed", "added"}}

// unmistakableKeys is how many of changeKeys count for a field of which nothing is known.
const unmistakableKeys = 2

var null = []byte("null")

// newValue returns the new value that a change in a delta gives, in one of the forms that the package's documentation lists. A nil
// change gives nil.
//
// The error says that the change names only a list's old value.
func newValue(change []byte, shape shape) ([]byte, error) {
	switch {
	case change == nil:
		return nil, nil
	case change[0] == '[' && shape == scalar:
		return newOfTwo(change), nil
	case change[0] != '{':
		return change, nil
	}
	pair, isChange := readPair(change)
	switch {
	case !isChange || shape == unknown && !pair.isUnmistakable():
		return change, nil
	case pair.new != nil:
		return pair.new, nil
	case shape == list:
		return nil, wantNew
	default:
		return null, nil
	}
}

// newOfTwo returns the second element of a list of two, or the list itself when it has another length.
func newOfTwo(change []byte) []byte {
	var last []byte
	n := 0
	for element := range elements(change) {
		if n++; n > 2 {
			return change
		}
		last = element
	}
	if n < 2 {
		return change
	}
	return last
}

// pair is an object that says old and new, each nil when it is absent.
type pair struct {
	keys     int // index in changeKeys
	old, new []byte
}

func (p pair) isUnmistakable() bool {
	return p.keys < unmistakableKeys && p.old != nil && p.new != nil
}

// readPair reads an object all of whose keys are from one pair of changeKeys. It reports false for any other object.
func readPair(object []byte) (pair, bool) {
	p := pair{keys: -1}
	for name, value := range members(object) {
		keys := slices.IndexFunc(changeKeys[:], func(keys [2]string) bool {
			return string(name) == keys[0] || string(name) == keys[1]
		})
		if keys < 0 || p.keys >= 0 && keys != p.keys {
			return pair{}, false
		}
		p.keys = keys
		if string(name) == changeKeys[keys][0] {
			p.old = value
		} else {
			p.new = value
		}
	}
	return p, p.keys >= 0
}
