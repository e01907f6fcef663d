package id_test

import (
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/id"
)

func TestValid(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"5f0c1e2d3b4a596877660101", "82662ee4-0080-4960-8b8f-d7693e6ff3e4", "a b", "é", "Łódź", "\U0001f976", "٣", "\ufffd", "e\u0301",
		strings.Repeat("x", 256), strings.Repeat("é", 128),
	} {
		if !id.Valid(s) {
			t.Errorf("%q is no id", s)
		}
	}
	for name, s := range map[string]string{
		"257 bytes": strings.Repeat("x", 257), "257 bytes of 129 letters": strings.Repeat("é", 128) + "x",
		"not UTF-8": "a\xff", "a surrogate": "\xed\xa0\x80",
		"NUL": "\x00", "a line feed": "a\n", "an escape": "\x1b[31m", "DEL": "\x7f", "a control of C1": "\u009b31m",
		"a separator of lines": "\u2028", "of paragraphs": "\u2029",
		"left-to-right mark": "\u200e", "right-to-left mark": "\u200f", "Arabic letter mark": "\u061c", "an embedding": "\u202a",
		"an override": "a\u202eb", "pop": "\u202c", "an isolate": "\u2066", "its end": "\u2069",
		"zero-width space": "a\u200b", "non-joiner": "\u200c", "joiner": "\u200d", "word joiner": "\u2060", "byte order mark": "\ufeff",
		"soft hyphen": "\u00ad", "Mongolian vowel separator": "\u180e", "grapheme joiner": "\u034f", "Hangul filler": "\u3164",
		"halfwidth filler": "\uffa0", "a variation selector": "\ufe0f", "a tag": "\U000e0041", "a supplementary selector": "\U000e0100",
	} {
		if id.Valid(s) {
			t.Errorf("%s: %q is an id", name, s)
		}
	}
}
