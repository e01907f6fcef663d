package event

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxNesting is how many levels of objects and arrays a body may have. It is the decoder's own limit, and encoding/json's.
const maxNesting = 10_000

// found holds the raw values that a body has in the places that matter, each nil when it is absent.
type found struct {
	event                          []byte
	id, name, createdDate, urn     []byte
	data                           []byte
	dataID, dataTicketID, category []byte
	ticketObjectID                 []byte
}

// scan checks a body once from beginning to end, and notes what it has where.
func scan(body []byte) (found, error) {
	switch {
	case len(body) == 0:
		return found{}, errEmptyBody
	case bytes.HasPrefix(body, []byte("\ufeff")):
		return found{}, errByteOrderMark
	case !utf8.Valid(body):
		return found{}, errInvalidUTF8
	}
	s := scanners.Get().(*scanner)
	defer s.release()
	s.reset(body)

	top, err := s.value(s.bodyMember)
	if err != nil {
		return found{}, s.refusal(err)
	}
	if _, err := s.decoder.ReadToken(); err != io.EOF {
		return found{}, errTrailingData
	}
	if top[0] != '{' {
		return found{}, errNotObject
	}
	return s.found, nil
}

// scanner walks over one body at a time.
type scanner struct {
	decoder jsontext.Decoder
	source  bytes.Buffer
	body    []byte
	found   found
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

// decoderOptions let lone surrogates through, which the decoder takes for invalid UTF-8. [scan] checks the UTF-8 itself.
var decoderOptions = []jsontext.Options{jsontext.AllowInvalidUTF8(true)}

func (s *scanner) reset(body []byte) {
	s.body = body
	s.found = found{}
	s.source = *bytes.NewBuffer(body) // The decoder reads a bytes.Buffer in place, without a copy.
	s.decoder.Reset(&s.source, decoderOptions...)
}

// release gives the scanner back, without the body: a pool must not keep private data alive.
func (s *scanner) release() {
	s.reset(nil)
	scanners.Put(s)
}

// visitor takes the value of the member that was just named off the decoder.
type visitor func(name []byte) error

// value reads the next value and returns its bytes. When it is an object and visit is not nil, visit gets each of its members.
func (s *scanner) value(visit visitor) ([]byte, error) {
	if visit != nil && s.decoder.PeekKind() == jsontext.KindBeginObject {
		return s.object(visit)
	}
	value, err := s.decoder.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(s.decoder.InputOffset())
	return s.body[end-len(value) : end : end], nil
}

func (s *scanner) object(visit visitor) ([]byte, error) {
	if _, err := s.decoder.ReadToken(); err != nil {
		return nil, err
	}
	begin := int(s.decoder.InputOffset()) - len("{")
	for s.decoder.PeekKind() != jsontext.KindEndObject {
		quoted, err := s.decoder.ReadValue()
		if err != nil {
			return nil, err
		}
		if err := visit(memberName(quoted)); err != nil {
			return nil, err
		}
	}
	if _, err := s.decoder.ReadToken(); err != nil {
		return nil, err
	}
	end := int(s.decoder.InputOffset())
	return s.body[begin:end:end], nil
}

func (s *scanner) bodyMember(name []byte) (err error) {
	if string(name) == "event" {
		s.found.event, err = s.value(s.eventMember)
		return err
	}
	_, err = s.value(nil)
	return err
}

func (s *scanner) eventMember(name []byte) (err error) {
	switch string(name) {
	case "id":
		s.found.id, err = s.value(nil)
	case "name":
		s.found.name, err = s.value(nil)
	case "createdDate":
		s.found.createdDate, err = s.value(nil)
	case "urn":
		s.found.urn, err = s.value(nil)
	case "data":
		s.found.data, err = s.value(s.dataMember)
	default:
		_, err = s.value(nil)
	}
	return err
}

func (s *scanner) dataMember(name []byte) (err error) {
	switch string(name) {
	case "id":
		s.found.dataID, err = s.value(nil)
	case "ticketId":
		s.found.dataTicketID, err = s.value(nil)
	case "category":
		s.found.category, err = s.value(nil)
	case "ticket":
		_, err = s.value(s.ticketMember)
	default:
		_, err = s.value(nil)
	}
	return err
}

func (s *scanner) ticketMember(name []byte) (err error) {
	value, err := s.value(nil)
	if string(name) == "id" {
		s.found.ticketObjectID = value
	}
	return err
}

// refusal says in our words what the decoder found wrong. Its own words quote the body.
func (s *scanner) refusal(err error) error {
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errDoubledKey
	case ok && s.isTooDeep(syntactic):
		return errTooDeep
	default:
		return errInvalidJSON
	}
}

// isTooDeep reports whether the decoder gave up at an object or array below the deepest level that it allows. It has no error for that
// which could be asked for, but it says where it was.
func (s *scanner) isTooDeep(err *jsontext.SyntacticError) bool {
	at := err.ByteOffset
	return strings.Count(string(err.JSONPointer), "/") >= maxNesting &&
		at < int64(len(s.body)) && (s.body[at] == '{' || s.body[at] == '[')
}
