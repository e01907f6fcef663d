package event

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// tokenKey is the name of the member that holds an access token. Source: the SDK's ticket.
const tokenKey = "token"

// redacted is the JSON string that replaces a token.
const redacted = `"redacted"`

// Redact removes access tokens from a body, at any depth. These values become the string "redacted":
//
//   - the value of a member whose name is "token", or a path to it such as "/ticket/token" or "ticket.token";
//   - in an object that is a change of the token, such as {"field":"token","old":…,"new":…} or {"op":"add","path":"/token","value":…}, the
//     value of each member in which a change can have a token.
//
// All other bytes stay. If there is nothing to remove, the result is body itself, otherwise a copy. A second call does not change the
// result of the first.
//
// In a body that is not well-formed JSON, a name in quotes and a colon are taken for a member, wherever they stand. Its value ends at its
// closing quote or bracket, or at the end of the body. If the value alone was malformed, the result is well-formed. If such a body has a
// change of the token, the whole body is replaced, because it is unknown which values belong to the change.
func Redact(body []byte) []byte {
	if !mayNameToken(body) {
		return body
	}
	var tokens []span
	if jsontext.Value(body).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) {
		tokens = tokensIn(body)
	} else {
		tokens = tokensInBroken(body)
	}

	var out []byte
	copied := 0
	for _, token := range tokens {
		if token.begin < copied || token.begin == token.end || string(body[token.begin:token.end]) == redacted {
			continue
		}
		out = append(append(out, body[copied:token.begin]...), redacted...)
		copied = token.end
	}
	if copied == 0 {
		return body
	}
	return append(out, body[copied:]...)
}

// isTokenChange reports whether an object is a change of an access token: a member that names a field names the token.
func isTokenChange(object []byte) bool {
	for name, value := range members(object) {
		if slices.Contains(fieldKeys[:], string(name)) && isTokenName(value) {
			return true
		}
	}
	return false
}

// fieldKeys are the names of the members in which a change can name its field.
var fieldKeys = [...]string{"field", "path", "property", "name", "key"}

// changeKeys are the pairs of keys, old and new, of an object that is a change. The last pair can also name elements of a list. The first
// three pairs are never the keys of a plain value.
var changeKeys = [...][2]string{
	{"old", "new"}, {"before", "after"}, {"oldValue", "newValue"}, {"from", "to"}, {"previous", "current"}, {"removed", "added"},
}

// holdsChangedValue reports whether a change can have an old or new value in the member of that name.
func holdsChangedValue(name []byte) bool {
	return string(name) == "value" ||
		slices.ContainsFunc(changeKeys[:], func(pair [2]string) bool { return string(name) == pair[0] || string(name) == pair[1] })
}

// mayNameToken reports whether a body may have the name of a token. The name is in plain letters, or has an escape for at least one letter;
// all its letters are from U+0060 to U+007F. Nearly every body needs only two searches.
func mayNameToken(body []byte) bool {
	// The search is for the end of the name, because k is rarer than t.
	for rest := body; ; {
		_, after, found := bytes.Cut(rest, []byte(tokenKey[2:]))
		if !found {
			break
		}
		if bytes.HasSuffix(rest[:len(rest)-len(after)], []byte(tokenKey)) {
			return true
		}
		rest = after
	}
	// A body without an escape below U+0100 needs only the first of these searches.
	escape := bytes.Index(body, []byte(`\u00`))
	return escape >= 0 && (bytes.Contains(body[escape:], []byte(`\u006`)) || bytes.Contains(body[escape:], []byte(`\u007`)))
}

// namesToken reports whether the name of a member is that of an access token, or a path to or into a token.
func namesToken(name []byte) bool {
	if !bytes.Contains(name, []byte(tokenKey)) {
		return false
	}
	for segment := range bytes.FieldsFuncSeq(name, func(r rune) bool { return r == '/' || r == '.' }) {
		if string(segment) == tokenKey {
			return true
		}
	}
	return false
}

// isTokenName reports whether a value names the token: a string, or a path as a list of strings.
func isTokenName(value []byte) bool {
	switch value[0] {
	case '"':
		return namesToken(nameOf(value))
	case '[':
		for segment := range items(value) {
			if segment[0] == '"' && namesToken(nameOf(segment)) {
				return true
			}
		}
	}
	return false
}

// span is a part of a body.
type span struct{ begin, end int }

// tokensIn returns the access tokens of a well-formed body, in order. A span may lie within the span before it.
func tokensIn(body []byte) []span {
	s := tokenSearch{body: body}
	s.value(skipSpace(body, 0))
	slices.SortFunc(s.tokens, func(a, b span) int { return cmp.Or(a.begin-b.begin, b.end-a.end) })
	return s.tokens
}

// tokenSearch reads a well-formed body once.
type tokenSearch struct {
	body   []byte
	tokens []span
}

// value searches the value that begins at begin, and returns its end. It reports whether the value is a list that is a path to a token. A
// second search for such paths would take quadratic time for lists in lists.
func (s *tokenSearch) value(begin int) (end int, isTokenPath bool) {
	switch s.body[begin] {
	case '{':
		return s.object(begin), false
	case '[':
		at := skipSpace(s.body, begin+1)
		for s.body[at] != ']' {
			end, _ := s.value(at)
			isTokenPath = isTokenPath || s.body[at] == '"' && isTokenName(s.body[at:end])
			at = nextItem(s.body, end)
		}
		return at + 1, isTokenPath
	default:
		return valueEnd(s.body, begin), false
	}
}

func (s *tokenSearch) object(begin int) (end int) {
	var values []span
	isTokenChange := false
	end = walkObject(s.body, begin, func(name []byte, begin int) int {
		end, isTokenPath := s.value(begin)
		switch {
		case namesToken(name):
			s.tokens = append(s.tokens, span{begin, end})
		case holdsChangedValue(name):
			values = append(values, span{begin, end})
		case slices.Contains(fieldKeys[:], string(name)):
			isTokenChange = isTokenChange || isTokenPath || s.body[begin] == '"' && isTokenName(s.body[begin:end])
		}
		return end
	})
	if isTokenChange {
		s.tokens = append(s.tokens, values...)
	}
	return end
}

// maxNameBytes is the largest length of a name, or of a path as a string, in a body that is not well-formed. Longer ones are not found.
// Without this limit, a body of many quotes would take quadratic time.
const maxNameBytes = 256

// tokensInBroken returns the possible access tokens of a body that is not well-formed.
func tokensInBroken(body []byte) []span {
	var tokens []span
	// Each quote may open or close a string, so a name may begin at each.
	for at := 0; at < len(body); at++ {
		if body[at] != '"' {
			continue
		}
		name := body[at:stringEnd(body[:min(at+maxNameBytes, len(body))], at)]
		colon := skipSpace(body, at+len(name))
		if colon == len(body) || body[colon] != ':' {
			continue
		}
		name = nameOf(name)
		value := skipSpace(body, colon+1)
		switch {
		case namesToken(name):
			end := valueEnd(body, value)
			tokens = append(tokens, span{value, end})
			at = end - 1
		case slices.Contains(fieldKeys[:], string(name)) && value < len(body) && body[value] == '"':
			if field := body[value:stringEnd(body[:min(value+maxNameBytes, len(body))], value)]; namesToken(nameOf(field)) {
				return []span{{0, len(body)}}
			}
		}
	}
	return tokens
}
