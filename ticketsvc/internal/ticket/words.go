package ticket

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// WordsVersion identifies the rules by which [Ticket.Words] and [Filter.Words] make words: the number of the rules, which must be raised
// with each change of them, and the versions of Unicode that they use. Databases store it with their index of words. An index with another
// version must be rebuilt.
const WordsVersion = "2, Unicode " + unicode.Version + ", normal forms of " + norm.Version

const (
	// The maximum numbers of bytes and of different words in the text of a filter.
	maxTextBytes = 256
	maxTextWords = 16
	// maxSearchedBytes is the maximum size of the searched part of a ticket's title and description together. It limits the cost of an event,
	// and keeps a ticket's words below the 1 MiB that PostgreSQL accepts.
	maxSearchedBytes = 64 << 10
	// maxWordBytes is the maximum size of a word. The rest of a longer word is ignored.
	maxWordBytes = 64
)

// Words returns the words by which a filter's text finds the ticket: those of the title, then those of the description, separated by a
// space. The words are in their normalized form, and some can occur more than once. Only the first 64 KiB of both texts count.
func (t *Ticket) Words() string { return words(t.Title, t.Description) }

func words(title, description string) string {
	title = title[:min(len(title), maxSearchedBytes)]
	description = description[:min(len(description), maxSearchedBytes-len(title))]
	b := make([]byte, 0, len(title)+len(description)+16)
	return string(appendWords(appendWords(b, title), description))
}

// Words returns the words that the filter's text asks for, without duplicates and in byte order, in their normalized form. A ticket matches
// if each of them is the beginning of one of [Ticket.Words]. A word has only letters, marks and digits. There are no words if the filter
// has no text.
func (f *Filter) Words() []string {
	return normal(strings.Fields(string(appendWords(nil, f.Text))))
}

// hasWords reports whether each of words is the beginning of a word in has.
func hasWords(has string, words []string) bool {
	has = " " + has
	for _, word := range words {
		if !strings.Contains(has, " "+word) {
			return false
		}
	}
	return true
}

// appendWords appends the words of text to b. It puts a space between two words, and between the words in b and the first new word.
//
// A word is a sequence of letters, marks and digits in a normalized form. The form ignores case, accents and other marks above, below or
// through letters, and variants of the same letters (a ligature, a raised or full-width digit). Characters that are not visible, such as
// the soft hyphen, are skipped. Chinese and Japanese put no spaces between words, so each of their characters is a word.
func appendWords(b []byte, text string) []byte {
	w := wordAppender{text: b}
	for _, c := range text {
		if c < utf8.RuneSelf { // nearly all characters
			w.addASCII(asciiForms[c])
			continue
		}
		for _, r := range formOf(c) {
			w.add(r)
		}
	}
	return w.text
}

// wordAppender appends words to a string, character by character. A space ends a word.
type wordAppender struct {
	text []byte
	// within is set inside a word, which begins at start. full is set if the rest of the word is ignored.
	within, full bool
	start        int
}

func (w *wordAppender) add(r rune) {
	if r == ' ' {
		w.within = false
		return
	}
	alone := isAlone(r)
	if !w.within || alone {
		w.begin()
	}
	if w.full = w.full || len(w.text)-w.start+utf8.RuneLen(r) > maxWordBytes; !w.full {
		w.text = utf8.AppendRune(w.text, r)
	}
	w.within = !alone
}

// addASCII does the same as add in half the time.
func (w *wordAppender) addASCII(c byte) {
	if c == ' ' {
		w.within = false
		return
	}
	if !w.within {
		w.begin()
	}
	if w.full = w.full || len(w.text)-w.start >= maxWordBytes; !w.full {
		w.text = append(w.text, c)
	}
}

func (w *wordAppender) begin() {
	if len(w.text) > 0 {
		w.text = append(w.text, ' ')
	}
	w.within, w.full, w.start = true, false, len(w.text)
}

// formOf returns the normalized form of a character: letters, marks and digits, or a space if the character ends a word, or nothing if the
// character is skipped. The form does not depend on other characters.
func formOf(r rune) string {
	if r < endOfLatin {
		return latinForms[r]
	}
	return newForm(r)
}

// endOfLatin is the first character after the Latin characters that most texts consist of.
const endOfLatin = 0x250

var latinForms = func() (forms [endOfLatin]string) {
	for r := range rune(endOfLatin) {
		forms[r] = newForm(r)
	}
	return forms
}()

var asciiForms = func() (forms [utf8.RuneSelf]byte) {
	for r := range rune(utf8.RuneSelf) {
		forms[r] = newForm(r)[0]
	}
	return forms
}()

func newForm(r rune) string {
	text := string(r)
	if !norm.NFKD.IsNormalString(text) {
		text = norm.NFKD.String(text)
	}
	form := make([]byte, 0, utf8.UTFMax)
	for _, r := range text {
		// The conversion to upper case makes the two small sigmas equal.
		r = unicode.ToLower(unicode.ToUpper(r))
		ascii, known := asciiOf[r]
		switch {
		case known:
			form = append(form, ascii...)
		case unicode.IsLetter(r), unicode.In(r, unicode.N, unicode.Mc, unicode.Me):
			form = utf8.AppendRune(form, r)
		case unicode.In(r, unicode.Mn, unicode.Cf):
		default:
			form = append(form, ' ')
		}
	}
	return string(form)
}

// asciiOf maps the small letters of Latin-1 and Latin Extended-A that Unicode does not decompose to what people type if their keyboard
// lacks them: the transliteration Latin-ASCII of Unicode's CLDR. The two blocks have the letters of names in Europe and Vietnam. CLDR's
// letters of other blocks are those of phonetics and of few languages.
var asciiOf = map[rune]string{
	'ß': "ss", 'æ': "ae", 'ð': "d", 'ø': "o", 'þ': "th", 'đ': "d", 'ħ': "h", 'ĸ': "q", 'ł': "l", 'ŋ': "n", 'œ': "oe", 'ŧ': "t",
}

// isAlone reports whether a character is a word by itself.
func isAlone(r rune) bool {
	const first = 0x2e80
	return r >= first && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
}
