package envelope

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// tokenKey is the name of the member that holds an access token. Source: the SDK's ticket.
const tokenKey = "token"

// redacted is the JSON text that takes a token's place.
const redacted = `"redacted"`

// Redact takes access tokens out of a body: the value of every object member that is named exactly "token", at any depth, becomes the
// text "redacted". Everything else stays as it is, to the byte.
//
// The result is body itself when there is nothing to take out, else a copy. It may be called again on its own result, to no effect.
//
// In a body that is not well-formed JSON, what looks like such a member is one: a name in quotes and a colon, wherever it stands. There
// the value reaches to its closing quote or bracket, or to the end of the body. Where the value was all that was wrong, the result is
// well-formed.
func Redact(body []byte) []byte {
	if !mayNameToken(body) {
		return body
	}
	wellFormed := jsontext.Value(body).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

	var out []byte
	copied := 0
	for at := 0; ; {
		quote := bytes.IndexByte(body[at:], '"')
		if quote < 0 {
			break
		}
		at += quote
		begin, ok := tokenMember(body, at)
		switch {
		case ok:
			end := valueEnd(body, begin)
			if begin < end && string(body[begin:end]) != redacted {
				out = append(append(out, body[copied:begin]...), redacted...)
				copied = end
			}
			at = end
		case wellFormed:
			at = stringEnd(body, at)
		default:
			// Which quote opens and which closes is anybody's guess, so each is looked at.
			at++
		}
	}
	if copied == 0 {
		return body
	}
	return append(out, body[copied:]...)
}

// mayNameToken reports whether a member named "token" is possible: it is written in plain letters, or with an escape for one of them
// (all five are from U+0060 to U+007F). Nearly every body needs no more than these searches.
func mayNameToken(body []byte) bool {
	return bytes.Contains(body, []byte(`"`+tokenKey+`"`)) ||
		bytes.Contains(body, []byte(`\u006`)) ||
		bytes.Contains(body, []byte(`\u007`))
}

// tokenMember reports whether the quote at body[at] opens the name "token" with a colon behind it, and where its value begins.
func tokenMember(body []byte, at int) (begin int, ok bool) {
	at++
	for _, letter := range []byte(tokenKey) {
		n := letterLength(body[at:], letter)
		if n == 0 {
			return 0, false
		}
		at += n
	}
	if at == len(body) || body[at] != '"' {
		return 0, false
	}
	at = skipSpace(body, at+1)
	if at == len(body) || body[at] != ':' {
		return 0, false
	}
	return skipSpace(body, at+1), true
}

// letterLength returns how many bytes a lower-case letter takes at the beginning of text, as itself or escaped: 1, 6, or 0 when another
// character stands there.
func letterLength(text []byte, letter byte) int {
	const hex = "0123456789abcdef"
	escaped := [...]byte{'\\', 'u', '0', '0', hex[letter>>4], hex[letter&0xf]}
	switch {
	case len(text) > 0 && text[0] == letter:
		return 1
	case len(text) >= len(escaped) && string(text[:5]) == string(escaped[:5]) && text[5]|0x20 == escaped[5]|0x20:
		return len(escaped)
	default:
		return 0
	}
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

// stringEnd returns where the string that opens at body[begin] ends, behind its closing quote.
func stringEnd(body []byte, begin int) int {
	for at := begin + 1; at < len(body); at++ {
		switch body[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(body)
}

// bracketEnd returns where the object or array that opens at body[begin] ends, behind its closing bracket.
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
