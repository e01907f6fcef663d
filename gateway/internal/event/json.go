package event

import (
	"bytes"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here read JSON that [check] has checked. They do not check it again. members, items, memberOf and idIn need a well-formed
// value without white space around it, which each value in a checked body is. The other functions also return for a body that is not
// well-formed.

// members yields an object's members: the name unquoted, with U+FFFD for a lone surrogate, and the value as it stands in the object.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for at := skipSpace(object, 1); object[at] == '"'; at = nextItem(object, at) {
			end := stringEnd(object, at)
			name := nameOf(object[at:end])
			at = skipColon(object, end)
			end = valueEnd(object, at)
			if !yield(name, object[at:end:end]) {
				return
			}
			at = end
		}
	}
}

// items yields a list's elements as they stand in the list.
func items(list []byte) iter.Seq[[]byte] {
	return func(yield func(element []byte) bool) {
		for at := skipSpace(list, 1); list[at] != ']'; at = nextItem(list, at) {
			end := valueEnd(list, at)
			if !yield(list[at:end:end]) {
				return
			}
			at = end
		}
	}
}

// memberOf returns the value of an object's member, or nil if the object has no member of that name.
func memberOf(object []byte, name string) []byte {
	for n, value := range members(object) {
		if string(n) == name {
			return value
		}
	}
	return nil
}

// idIn returns the id of an object, which may be a MongoDB object id. It returns nil for an object without an id, and any other value as it
// is.
func idIn(value []byte) []byte {
	for range 2 {
		if value == nil || value[0] != '{' {
			return value
		}
		if id := memberOf(value, "$oid"); id != nil {
			return id
		}
		value = memberOf(value, "id")
	}
	return value
}

// unquote returns the content of a JSON string, without a copy if it has no escapes. A surrogate without its other half becomes U+FFFD, and
// isExact is then false. In a body that is not well-formed, the closing quote may be missing.
func unquote(quoted []byte) (text []byte, isExact bool) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return bytes.TrimSuffix(quoted[1:], []byte{'"'}), true
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	return text, err == nil
}

// nameOf returns the name of a member. U+FFFD stands for half of a surrogate pair; no name in the provider's contract has it.
func nameOf(quoted []byte) []byte {
	name, _ := unquote(quoted)
	return name
}

// walkObject visits the members of the object that begins at body[begin], and returns the end of the object. visit gets a member's name and
// the begin of its value, and returns the end of the value. So one pass can read nested objects.
func walkObject(body []byte, begin int, visit func(name []byte, begin int) (end int)) (end int) {
	at := skipSpace(body, begin+1)
	for body[at] != '}' {
		nameEnd := stringEnd(body, at)
		at = nextItem(body, visit(nameOf(body[at:nameEnd]), skipColon(body, nameEnd)))
	}
	return at + 1
}

// skipColon returns the begin of a member's value, from the end of its name.
func skipColon(object []byte, at int) int { return skipSpace(object, skipSpace(object, at)+1) }

// nextItem returns the begin of the next member or element, from the end of the previous one. After the last one it returns the position of
// the closing bracket.
func nextItem(within []byte, at int) int {
	at = skipSpace(within, at)
	if within[at] == ',' {
		at = skipSpace(within, at+1)
	}
	return at
}

func skipSpace(body []byte, at int) int {
	for at < len(body) && isSpace(body[at]) {
		at++
	}
	return at
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// valueEnd returns the end of the value that begins at body[begin].
func valueEnd(body []byte, begin int) int {
	if begin == len(body) {
		return begin
	}
	switch body[begin] {
	case '"':
		return stringEnd(body, begin)
	case '{', '[':
		return bracketEnd(body, begin)
	}
	end := begin
	for end < len(body) && !isSpace(body[end]) && body[end] != ',' && body[end] != '}' && body[end] != ']' {
		end++
	}
	return end
}

// stringEnd returns the end of the string that begins at body[begin], after its closing quote.
func stringEnd(body []byte, begin int) int {
	for at := begin + 1; ; {
		quote := bytes.IndexByte(body[at:], '"')
		if quote < 0 {
			return len(body)
		}
		at += quote + 1
		// A quote after an odd number of backslashes is escaped.
		backslashes := 0
		for at-2-backslashes > begin && body[at-2-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return at
		}
	}
}

// bracketEnd returns the end of the object or array that begins at body[begin], after its closing bracket.
func bracketEnd(body []byte, begin int) int {
	depth := 0
	for at := begin; at < len(body); {
		switch body[at] {
		case '"':
			at = stringEnd(body, at)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		at++
		if depth == 0 {
			return at
		}
	}
	return len(body)
}
