package event

import (
	"bytes"
	"iter"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here go over JSON without checking it again. An exported one needs a well-formed value without white space around it, as
// every value in a body that [Parse] accepted is. The others also end on a body that is not well-formed.

// members yields an object's members: the name unquoted, with U+FFFD for a lone surrogate, and the value as it stands in the object.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for at := skipSpace(object, 1); object[at] == '"'; at = nextItem(object, at) {
			end := stringEnd(object, at)
			name := memberName(object[at:end])
			at = skipColon(object, end)
			end = valueEnd(object, at)
			if !yield(name, object[at:end:end]) {
				return
			}
			at = end
		}
	}
}

// items yields a list's elements as they stand there.
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

// memberOf returns the value of an object's member, or nil when the object has none of that name.
func memberOf(object []byte, name string) []byte {
	for n, value := range members(object) {
		if string(n) == name {
			return value
		}
	}
	return nil
}

// idIn returns the value that stands for a thing: of an object its id, which may be a MongoDB object id, and of any other value the value
// itself. It returns nil for an object without an id.
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

// memberName unquotes a name. A lone surrogate in it becomes U+FFFD, which no name in the contract has.
func memberName(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return bytes.TrimSuffix(quoted[1:], []byte{'"'})
	}
	name, _ := jsontext.AppendUnquote(nil, quoted)
	return name
}

// skipColon returns where the value of a member begins, from where its name ends.
func skipColon(object []byte, at int) int { return skipSpace(object, skipSpace(object, at)+1) }

// nextItem returns where the next member or element begins, from where the previous one ends. It is the closing bracket at the last.
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

// valueEnd returns where the value that begins at body[begin] ends.
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

// stringEnd returns where the string that opens at body[begin] ends, after its closing quote.
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

// bracketEnd returns where the object or array that opens at body[begin] ends, after its closing bracket.
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
