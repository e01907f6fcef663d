package event

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/ticketbridge/ticketbridge/internal/id"
)

// The kinds of event that Ticketbridge accepts: the values of event.name. Source: the provider's webhook example.
const (
	// TicketCreated is the event of a new ticket. Its event.data is the ticket.
	TicketCreated = "ticket.created"
	// TicketUpdated is the event of a changed ticket. Its event.data.delta holds the changes.
	TicketUpdated = "ticket.updated"
)

// Envelope has the fields of a body that the webhook server needs. Its strings are valid UTF-8 without NUL, so that any database can hold
// them. Its ids pass [id.Valid], so that any log can show them.
type Envelope struct {
	// EventID is event.id, which is unique for ever.
	EventID string
	// EventName is event.name: [TicketCreated], [TicketUpdated], or any other string together with [ErrUnexpectedEvent].
	EventName string
	// CreatedDate is the raw value of event.createdDate, which may be no date. It is a part of the parsed body. Nil if there is none.
	CreatedDate []byte
	// URN is event.urn as it was sent. Empty if there is none.
	URN string
	// AppID is the App that the URN names. Empty if the URN has another form or the App is no valid id.
	AppID string
	// TicketID is the ticket that the event is about.
	//
	// It is the first of data.id, data.ticketId and data.ticket.id that is a string, an integer (then its exact digits), or an object with
	// such an id. Without one, it is the URN's last segment if that is not a category. Empty if there is none, or if it is no valid id.
	TicketID string
	// TicketIDSource is the origin of TicketID: "data.id", "data.ticketId", "data.ticket.id" or "urn". Empty without a TicketID.
	TicketIDSource string
	// Data is the raw value of event.data, a part of the parsed body. Nil if there is none.
	Data []byte
}

// Parse reads the envelope of a body.
//
// Every error is an [*Error]. If [Error.IsUnreadable] is set, the Envelope is zero. If a single field is wrong ([ErrUnexpectedEvent], or an
// error that names event.id or event.name), the other fields of the Envelope are set, so that they can be stored with the rejected
// delivery.
//
// A missing ticket id or date is no error of Parse: the delivery is stored, and [Map] returns the error.
func Parse(body []byte) (Envelope, error) {
	p, err := parse(body)
	return p.Envelope, err
}

// parsed is a body whose form was checked. Its values are parts of the body, nil if absent.
type parsed struct {
	Envelope
	body                                           []byte
	event, id, name, urn                           []byte
	dataID, dataTicketID, ticketObjectID, category []byte
}

func parse(body []byte) (parsed, error) {
	if err := check(body); err != nil {
		return parsed{}, err
	}
	p := parsed{body: body}
	walkObject(body, skipSpace(body, 0), p.bodyMember)
	p.readURN()
	p.readTicketID()
	var nameErr, idErr error
	p.EventName, nameErr = readShort(p.name, &nameErrors)
	p.EventID, idErr = readShort(p.id, &idErrors)
	if !id.Valid(p.EventID) {
		p.EventID, idErr = "", idErrors.notText
	}

	switch {
	case p.event == nil:
		return p, errNoEvent
	case p.event[0] != '{':
		return p, errEventNotObject
	case nameErr != nil:
		return p, nameErr
	case p.EventName != TicketCreated && p.EventName != TicketUpdated:
		// This precedes any error about the id, because an event of another kind may look different.
		return p, ErrUnexpectedEvent
	default:
		return p, idErr
	}
}

func (p *parsed) bodyMember(name []byte, begin int) (end int) {
	if string(name) == "event" {
		return p.value(&p.event, begin, p.eventMember)
	}
	return valueEnd(p.body, begin)
}

func (p *parsed) eventMember(name []byte, begin int) (end int) {
	switch string(name) {
	case "id":
		return p.value(&p.id, begin, nil)
	case "name":
		return p.value(&p.name, begin, nil)
	case "createdDate":
		return p.value(&p.CreatedDate, begin, nil)
	case "urn":
		return p.value(&p.urn, begin, nil)
	case "data":
		return p.value(&p.Data, begin, p.dataMember)
	default:
		return valueEnd(p.body, begin)
	}
}

func (p *parsed) dataMember(name []byte, begin int) (end int) {
	switch string(name) {
	case "id":
		return p.value(&p.dataID, begin, nil)
	case "ticketId":
		return p.value(&p.dataTicketID, begin, nil)
	case "category":
		return p.value(&p.category, begin, nil)
	case "ticket":
		if p.body[begin] == '{' {
			return walkObject(p.body, begin, p.ticketMember)
		}
	}
	return valueEnd(p.body, begin)
}

func (p *parsed) ticketMember(name []byte, begin int) (end int) {
	if string(name) == "id" {
		return p.value(&p.ticketObjectID, begin, nil)
	}
	return valueEnd(p.body, begin)
}

// value sets target to the value that begins at begin. If the value is an object and visit is not nil, visit gets each of its members.
func (p *parsed) value(target *[]byte, begin int, visit func(name []byte, begin int) (end int)) (end int) {
	if visit != nil && p.body[begin] == '{' {
		end = walkObject(p.body, begin, visit)
	} else {
		end = valueEnd(p.body, begin)
	}
	*target = p.body[begin:end:end]
	return end
}

// maxNesting is the largest number of levels of objects and arrays in a body. It is the decoder's own limit, and that of encoding/json.
const maxNesting = 10_000

// allowInvalidUTF8 accepts lone surrogates, which the decoder treats as invalid UTF-8. [check] checks the UTF-8 itself.
var allowInvalidUTF8 = []jsontext.Options{jsontext.AllowInvalidUTF8(true)}

// check returns nil if a body is one well-formed JSON object without doubled keys. Its errors do not quote the body; the decoder's errors
// do.
func check(body []byte) error {
	// Nearly every body passes the strict check, which is the only pass over it then.
	if !jsontext.Value(body).IsValid() {
		switch {
		case len(body) == 0:
			return errEmptyBody
		case bytes.HasPrefix(body, []byte("\ufeff")):
			return errByteOrderMark
		case !utf8.Valid(body):
			return errInvalidUTF8
		case !jsontext.Value(body).IsValid(allowInvalidUTF8...):
			return syntaxError(body)
		}
	}
	if body[skipSpace(body, 0)] != '{' {
		return errNotObject
	}
	return nil
}

// syntaxError returns what is wrong with a body that is not well-formed.
func syntaxError(body []byte) error {
	_, err := jsontext.NewDecoder(bytes.NewBuffer(body), allowInvalidUTF8...).ReadValue()
	syntactic, ok := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case err == nil:
		return errTrailingData
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errDoubledKey
	case ok && isTooDeep(body, syntactic):
		return errTooDeep
	default:
		return errInvalidJSON
	}
}

// isTooDeep reports whether the decoder stopped at an object or array below the deepest level that it allows. The decoder exports no error
// for that, but its error has the position.
func isTooDeep(body []byte, err *jsontext.SyntacticError) bool {
	at := err.ByteOffset
	return strings.Count(string(err.JSONPointer), "/") >= maxNesting && at < int64(len(body)) && (body[at] == '{' || body[at] == '[')
}

// readShort reads a string that must be present and short. value is nil if it is missing.
func readShort(value []byte, errs *fieldErrors) (string, error) {
	switch {
	case value == nil:
		return "", errs.missing
	case value[0] != '"':
		return "", errs.notString
	}
	text, ok := storable(value)
	switch {
	case !ok:
		return "", errs.notText
	case text == "":
		return "", errs.empty
	case len(text) > id.MaxBytes:
		return "", errs.tooLong
	}
	return text, nil
}

// storable returns the content of a JSON string. It reports false if some databases can't hold it, because it has a NUL or a surrogate
// without its other half.
func storable(quoted []byte) (string, bool) {
	text, isExact := unquote(quoted)
	if !isExact || bytes.IndexByte(text, 0) >= 0 {
		return "", false
	}
	return string(text), true
}

// readURN reads event.urn. The provider's contract leaves its form open after the category:
//
//	urn:allthings:app:<app>:ticket:<category>:<last>
//
// The last segment may be the ticket's id if it is neither a wildcard nor the category. A URN with more segments names no ticket, because
// it is unknown which segment would be the ticket.
func (p *parsed) readURN() {
	if p.urn == nil || p.urn[0] != '"' {
		return
	}
	p.URN, _ = storable(p.urn)
	rest, ok := strings.CutPrefix(p.URN, "urn:allthings:app:")
	if !ok {
		return
	}
	app, rest, _ := strings.Cut(rest, ":")
	if app != "*" && id.Valid(app) {
		p.AppID = app
	}
	rest, ok = strings.CutPrefix(rest, "ticket:")
	category, last, _ := strings.Cut(rest, ":")
	if ok && last != "" && last != "*" && last != category && !strings.Contains(last, ":") && id.Valid(last) {
		p.TicketID, p.TicketIDSource = last, "urn"
	}
}

// readTicketID reads the id of the ticket that the event is about. It is called after readURN.
func (p *parsed) readTicketID() {
	if category, _ := readOptionalID(p.category); category != "" && category == p.TicketID {
		p.TicketID, p.TicketIDSource = "", ""
	}
	for _, found := range [...]struct {
		value  []byte
		source string
	}{{p.dataID, "data.id"}, {p.dataTicketID, "data.ticketId"}, {p.ticketObjectID, "data.ticket.id"}} {
		ticketID, isUnusable := readOptionalID(found.value)
		switch {
		case ticketID != "":
			p.TicketID, p.TicketIDSource = ticketID, found.source
			return
		case isUnusable:
			// The next id may name another ticket.
			p.TicketID, p.TicketIDSource = "", ""
			return
		}
	}
}

// readOptionalID returns an id, or "" if value is nil, empty or of another kind. It reports whether value is a string or an integer that is
// no valid id.
func readOptionalID(value []byte) (text string, isUnusable bool) {
	if value == nil {
		return "", false
	}
	text, r := readID(value)
	return text, r.form == noID
}
