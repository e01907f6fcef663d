// Package id has the one rule for ids: of events, tickets, Apps, users, and everything else that Allthings gives an id.
//
// Ids are logged, shown and compared by people. So an id has no character that a terminal acts on, that changes the order in which other
// characters are shown, or that is invisible: two ids that look alike would be different.
package id

import (
	"unicode"
	"unicode/utf8"
)

// MaxBytes is the maximum length of an id, in bytes of UTF-8. Databases need a bound for their keys.
const MaxBytes = 256

// Valid reports whether s can be an id: at most [MaxBytes] of UTF-8, without a character that is [Hidden]. An empty s is valid too.
func Valid(s string) bool {
	if len(s) > MaxBytes || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if Hidden(r) {
			return false
		}
	}
	return true
}

// hidden are the characters that control how text is shown, and are invisible themselves. Format characters (Cf) include the bidirectional
// controls and most characters of zero width. The others of zero width are ignorable by default, such as the fillers of Hangul, or select
// variants.
var hidden = []*unicode.RangeTable{
	unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
}

// Hidden reports whether a character is a control character, a bidirectional control, a line separator, or of zero width.
func Hidden(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == '\x7f'
	}
	return unicode.In(r, hidden...)
}
