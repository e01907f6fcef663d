package postgresdb

import "strings"

// PostgreSQL's strings can't hold the character NUL, but JSON's can. So NUL is stored as two characters, in an encoding that keeps strings
// distinct and keeps their order by bytes.
var (
	escapeText   = strings.NewReplacer("\x00", "\x01\x01", "\x01", "\x01\x02")
	unescapeText = strings.NewReplacer("\x01\x01", "\x00", "\x01\x02", "\x01")
)

// EscapeText returns text, which is valid UTF-8, in a form that a column of type text can hold. Strings without the control characters 0
// and 1 stay unchanged. The order by bytes stays the same.
func EscapeText(text string) string {
	if strings.IndexByte(text, 0) < 0 && strings.IndexByte(text, 1) < 0 {
		return text
	}
	return escapeText.Replace(text)
}

// UnescapeText is the inverse of [EscapeText].
func UnescapeText(column string) string {
	if strings.IndexByte(column, 1) < 0 {
		return column
	}
	return unescapeText.Replace(column)
}
