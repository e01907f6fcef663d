// Package id has the one rule of what can serve as an id: of an event, a ticket, an App, a user, and whatever else Allthings gives an id.
//
// Ids are logged, shown and compared by people. So an id has no character that a terminal acts on, that changes the order in which others
// are shown, or that can't be seen: two ids that look alike would be different.
package id

import (
	"unicode"
	"unicode/utf8"
)

// MaxBytes is how long an id may be, in bytes of UTF-8. Databases need a bound for what they look up.
const MaxBytes = 256

// Valid reports whether s can serve as an id: at most [MaxBytes] of UTF-8, without a character that is [Hidden]. It does not look at
// whether s is empty.
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

// hidden are the characters that control what is shown, and are not shown themselves. Format characters (Cf) hold the bidirectional
// controls and most of zero width; the others of no width are ignorable by default, such as the fillers of Hangul, or select variants.
var hidden = []*unicode.RangeTable{
	unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
}

// Hidden reports whether a character is a control character, a bidirectional control, a separator of lines, or of zero width.
func Hidden(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == '\x7f'
	}
	return unicode.In(r, hidden...)
}
