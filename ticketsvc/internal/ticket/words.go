package ticket

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// WordsVersion names the rules by which [Ticket.Words] and [Filter.Words] make words: their own number, to be raised with each change of
// them, and the versions of Unicode by which they go. Databases keep it with their index of words, which is to be made anew where it is
// another one.
const WordsVersion = "2, Unicode " + unicode.Version + ", normal forms of " + norm.Version

const (
	// The most bytes and different words that the text of a filter may have.
	maxTextBytes = 256
	maxTextWords = 16
	// maxSearchedBytes is how much of a ticket's title and description together is looked at. It bounds what an event costs, and keeps a
	// ticket's words below the 1 MiB that PostgreSQL takes.
	maxSearchedBytes = 64 << 10
	// maxWordBytes is how much of a word counts.
	maxWordBytes = 64
)

// Words returns the words by which a filter's text finds the ticket, those of the title and then those of the description, in the form in
// which they are compared, and with a space between two. Some can be there more than once. Only the first 64 KiB of both texts count.
func (t *Ticket) Words() string { return words(t.Title, t.Description) }

func words(title, description string) string {
	title = title[:min(len(title), maxSearchedBytes)]
	description = description[:min(len(description), maxSearchedBytes-len(title))]
	b := make([]byte, 0, len(title)+len(description)+16)
	return string(appendWords(appendWords(b, title), description))
}

// Words returns the words that the filter's text asks for, each once and in byte order, in the form in which they are compared: a ticket
// has them when each is the beginning of one of [Ticket.Words]. They hold nothing but letters, marks and digits. There are none when the
// filter asks for no text.
func (f *Filter) Words() []string {
	return normal(strings.Fields(string(appendWords(nil, f.Text))))
}

// hasWords tells whether each of words is the beginning of one of those that a ticket has.
func hasWords(has string, words []string) bool {
	has = " " + has
	for _, word := range words {
		if !strings.Contains(has, " "+word) {
			return false
		}
	}
	return true
}

// appendWords appends the words of text, with spaces between them and what is in b already.
//
// Words are runs of letters, marks and digits, without regard to case, to accents and other marks above, below or through letters, and to
// forms that stand for the same letters (a ligature, a raised or full-width digit). Characters that don't show, such as the soft hyphen,
// are passed over. Chinese and Japanese put no spaces between words: there each character is a word.
func appendWords(b []byte, text string) []byte {
	w := wordAppender{text: b}
	for _, c := range text {
		if c < utf8.RuneSelf { // as nearly all are
			w.addASCII(asciiForms[c])
			continue
		}
		for _, r := range formOf(c) {
			w.add(r)
		}
	}
	return w.text
}

// wordAppender appends words to a text, character by character. A space ends a word.
type wordAppender struct {
	text []byte
	// within tells that a word is at hand, start where it begins, and full that the rest of it does not count.
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

// addASCII does what add does, in half the time.
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

// formOf returns what words have of a character: letters, marks and digits in the form in which they are compared, a space where it ends
// a word, nothing where it is passed over. It depends on no other character.
func formOf(r rune) string {
	if r < endOfLatin {
		return latinForms[r]
	}
	return newForm(r)
}

// endOfLatin is the character behind the Latin ones that most texts are made of.
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
		// By way of the upper case, so that the two small sigmas become one.
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

// asciiOf has the small letters of Latin-1 and Latin Extended-A that Unicode does not take apart, in the form that people type where their
// keyboard lacks them: that of the transliteration Latin-ASCII of Unicode's CLDR. The two blocks hold what names in Europe and Vietnam are
// written with; CLDR's letters of other blocks are those of phonetics and of few languages.
var asciiOf = map[rune]string{
	'ß': "ss", 'æ': "ae", 'ð': "d", 'ø': "o", 'þ': "th", 'đ': "d", 'ħ': "h", 'ĸ': "q", 'ł': "l", 'ŋ': "n", 'œ': "oe", 'ŧ': "t",
}

// isAlone tells whether a character is a word by itself.
func isAlone(r rune) bool {
	const first = 0x2e80
	return r >= first && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
}
