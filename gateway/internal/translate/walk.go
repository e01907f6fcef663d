package translate

import (
	"bytes"
	"iter"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// The functions here walk over values of a body that [envelope.Parse] accepted. So they find every value well-formed, and none empty;
// were one not, the walk would end there.

// members yields an object's members: the name unquoted (with U+FFFD for a lone surrogate), the value as it stands in the object.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		w := startWalk(object)
		defer w.release()
		for {
			quoted, ok := w.next()
			if !ok {
				return
			}
			value, ok := w.next()
			if !ok || !yield(unquotedName(quoted), value) {
				return
			}
		}
	}
}

// elements yields a list's elements as they stand there.
func elements(list []byte) iter.Seq[[]byte] {
	return func(yield func(element []byte) bool) {
		w := startWalk(list)
		defer w.release()
		for {
			element, ok := w.next()
			if !ok || !yield(element) {
				return
			}
		}
	}
}

// memberOf returns the value of an object's member, or nil when there is none of that name.
func memberOf(object []byte, name string) []byte {
	for n, value := range members(object) {
		if string(n) == name {
			return value
		}
	}
	return nil
}

func unquotedName(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	name, _ := jsontext.AppendUnquote(nil, quoted)
	return name
}

// walk goes over the values directly within an object or a list; names count as values.
type walk struct {
	decoder jsontext.Decoder
	source  bytes.Buffer
	within  []byte
}

var walks = sync.Pool{New: func() any { return new(walk) }}

// walkOptions leave out what was checked before.
var walkOptions = []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}

func startWalk(within []byte) *walk {
	w := walks.Get().(*walk)
	w.reset(within)
	// The opening bracket. Were there none, the first call of next would say so.
	_, _ = w.decoder.ReadToken()
	return w
}

func (w *walk) reset(within []byte) {
	w.within = within
	w.source = *bytes.NewBuffer(within) // The decoder reads a bytes.Buffer in place, without a copy.
	w.decoder.Reset(&w.source, walkOptions...)
}

// release gives the walk back, without the body: a pool must not keep private data alive.
func (w *walk) release() {
	w.reset(nil)
	walks.Put(w)
}

// next returns the next value, or false at the end.
func (w *walk) next() ([]byte, bool) {
	switch w.decoder.PeekKind() {
	case jsontext.KindEndObject, jsontext.KindEndArray, jsontext.KindInvalid:
		return nil, false
	}
	value, err := w.decoder.ReadValue()
	if err != nil {
		return nil, false
	}
	end := int(w.decoder.InputOffset())
	return w.within[end-len(value) : end : end], true
}
