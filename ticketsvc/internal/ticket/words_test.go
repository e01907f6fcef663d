package ticket_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/ticketbridge/ticketbridge/ticketsvc/internal/ticket"
)

func TestTicket_Words(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                    "",
		" !?… ":                               "",
		"Heizung im Bad kalt":                 "heizung im bad kalt",
		"Heizkörper, HEIZKORPER":              "heizkorper heizkorper",
		"Heizko\u0308rper":                    "heizkorper",
		"STRASSE Straße straẞe":               "strasse strasse strasse",
		"Ça où œuvre naïve Łódź":              "ca ou oeuvre naive lodz",
		"Ærø ÅRHUS Sørensen ǿ Ǽ":              "aero arhus sorensen o ae",
		"Đức đường ĐẶNG":                      "duc duong dang",
		"Þórður Ðað":                          "thordur dad",
		"Œuvre straẞe ŁÓDŹ":                   "oeuvre strasse lodz",
		"Ħal Għaxaq Ŋuŋa ŦATJE ĸ ŉ ſ":         "hal ghaxaq nuna tatje q \u02bcn s",
		"Ɖ ƀ ǥ ə":                             "ɖ ƀ ǥ ə",
		"İstanbul ISPARTA ısı":                "istanbul isparta isi",
		"ΟΔΟΣ οδός ὁδὸς":                      "οδοσ οδοσ οδοσ",
		"don't 3.02 e-mail@example.com a_b":   "don t 3 02 e mail example com a b",
		"x² ⅔ １２ ﬁn ㎏":                        "x2 2 3 12 fin kg",
		"Heiz\u00adkörper Tür\u200dklinke":    "heizkorper turklinke",
		"a\x00b\x01c\td\u2028e":               "a b c d e",
		"水漏れ a漏b エレベータ":                       "水 漏 れ a 漏 b エ レ ヘ ー タ",
		"한글":                                  "\u1112\u1161\u11ab\u1100\u1173\u11af",
		"שָׁלוֹם مُحَمَّد":                    "שלום محمد",
		"🥶 kalt🥶warm 👩\u200d🔧":                "kalt warm",
		"a\u302e\u0941\U0001d165b":            "a\u302e\U0001d165b",
		"\xff\xfea\xc3":                       "a",
		strings.Repeat("é", 70) + "x":         strings.Repeat("e", 64),
		strings.Repeat("x", 63) + "жx ж":      strings.Repeat("x", 63) + " ж",
		"AND OR NOT NEAR(a b) \"a\"* 'x' \\%": "and or not near a b a x",
	} {
		if got := (&ticket.Ticket{Title: text}).Words(); got != want {
			t.Errorf("words of %q: %q, want %q", text, got, want)
		}
		if got := (&ticket.Ticket{Description: text}).Words(); got != want {
			t.Errorf("words of the description %q: %q, want %q", text, got, want)
		}
	}
}

func TestTicket_Words_first64KiB(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 64<<10/5)
	for name, test := range map[string]struct{ title, description, want string }{
		"a long title":       {long + "x", "y", "x"},
		"a long description": {"title", long + "x", "w"},
		"both together":      {strings.Repeat("title ", 1000), strings.Repeat(" ", 64<<10-6001) + "end", "e"},
		"a character cut":    {strings.Repeat(" ", 64<<10-1) + "ö", "", ""},
	} {
		words := strings.Fields((&ticket.Ticket{Title: test.title, Description: test.description}).Words())
		if last := strings.Join(words[max(0, len(words)-1):], ""); last != test.want {
			t.Errorf("%s: the last word is %q, want %q", name, last, test.want)
		}
	}
}

// TestWordsVersion has every Unicode character. A filter in its normal form must ask for the same words, and databases must not split
// these words. Rules of the same version must always give the same words: databases store them, and SQLite needs them to remove words from
// its index.
func TestWordsVersion(t *testing.T) {
	t.Parallel()
	all := sha256.New()
	for r := range rune(unicode.MaxRune + 1) {
		words := (&ticket.Ticket{Title: "a" + string(r) + "b"}).Words()
		if again := (&ticket.Ticket{Title: words}).Words(); again != words {
			t.Errorf("%U: words %q become %q", r, words, again)
		}
		for _, c := range words {
			if c < utf8.RuneSelf && c != ' ' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				t.Errorf("%U: words %q", r, words)
			}
		}
		upper, lower := string(unicode.ToUpper(r)), string(unicode.ToLower(r))
		u, l := (&ticket.Ticket{Title: upper}).Words(), (&ticket.Ticket{Title: lower}).Words()
		if u != l && unicode.ToLower(unicode.ToUpper(r)) == r {
			t.Errorf("%U: words %q in upper case, %q in lower case", r, u, l)
		}
		all.Write([]byte(words))
	}
	const wantVersion, wantWords = "2, Unicode 15.0.0, normal forms of 15.0.0", "4ccfae9506398e44"
	switch got := hex.EncodeToString(all.Sum(nil)[:8]); {
	case got != wantWords && ticket.WordsVersion == wantVersion:
		t.Errorf("the words of some characters changed: raise the number in WordsVersion, and set it and %s here", got)
	case got != wantWords || ticket.WordsVersion != wantVersion:
		t.Errorf("words have version %q now: set that and %s here", ticket.WordsVersion, got)
	}
}

func TestFilter_Words(t *testing.T) {
	t.Parallel()
	filter := ticket.Filter{Text: "Kalt  heiz, KALT-heiz"}
	if got := filter.Words(); !slices.Equal(got, []string{"heiz", "kalt"}) {
		t.Errorf("words %q", got)
	}
	if got := filter.Normal().Text; got != "heiz kalt" {
		t.Errorf("normal form %q", got)
	}
	if got := (&ticket.Filter{}).Words(); len(got) != 0 {
		t.Errorf("words %q of no text", got)
	}
}

var described = ticket.Ticket{Title: "Heizung im Bad kalt",
	Description: "Seit gestern Abend bleibt der Heizkörper kalt. Bereits zweimal entlüftet, es hilft nichts. Bitte um Rückruf am Nachmittag."}

func BenchmarkWords(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		described.Words()
	}
}

func BenchmarkMatches(b *testing.B) {
	filter := ticket.Filter{Text: "heizk nachm"}
	b.ReportAllocs()
	for b.Loop() {
		filter.Matches(&described)
	}
}
