package translate

import (
	"bytes"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/types/known/timestamppb"

	ticketv1 "github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1"
)

// mismatch is an error that says what was wanted in a place. It is constant text, so it can't hold anything of a body.
type mismatch string

// Error returns the text.
func (m mismatch) Error() string { return string(m) }

const (
	notADate     mismatch = "not an ISO 8601 date"
	notExpected  mismatch = "not expected here"
	wantCount    mismatch = "want an integer of 32 bits"
	wantID       mismatch = "want an id"
	wantIDs      mismatch = "want a list of ids"
	wantNew      mismatch = "want the new list, not only the old one"
	wantNumber   mismatch = "want a string or an integer"
	wantObject   mismatch = "want an object"
	wantSettings mismatch = "want a list of objects with the texts key and type"
	wantString   mismatch = "want a string"
	wantStrings  mismatch = "want a list of strings"
)

// timestamp shortens the table of fields.
type timestamp = timestamppb.Timestamp

func textInto(place func(*ticketv1.Ticket) *string) decoder {
	return func(ticket *ticketv1.Ticket, value []byte) ([]byte, error) {
		if value[0] != '"' {
			return nil, wantString
		}
		var exact []byte
		*place(ticket), exact = unquote(value)
		return exact, nil
	}
}

// numberInto is for a number that newer payloads have as a string.
func numberInto(place func(*ticketv1.Ticket) *string) decoder {
	return func(ticket *ticketv1.Ticket, value []byte) ([]byte, error) {
		text, exact, ok := textOrInteger(value)
		if !ok {
			return nil, wantNumber
		}
		*place(ticket) = text
		return exact, nil
	}
}

func idInto(place func(*ticketv1.Ticket) *string) decoder {
	return func(ticket *ticketv1.Ticket, value []byte) ([]byte, error) {
		id, exact, ok := textOrInteger(idOf(value))
		if !ok {
			return nil, wantID
		}
		*place(ticket) = id
		return exact, nil
	}
}

func textsInto(place func(*ticketv1.Ticket) *[]string) decoder {
	return func(ticket *ticketv1.Ticket, value []byte) ([]byte, error) {
		if value[0] != '[' {
			return nil, wantStrings
		}
		var texts []string
		var exact []byte
		for element := range elements(value) {
			if element[0] != '"' {
				return nil, wantStrings
			}
			text, exactElement := unquote(element)
			texts = append(texts, text)
			if exactElement != nil {
				exact = value
			}
		}
		*place(ticket) = texts
		return exact, nil
	}
}

func idsInto(place func(*ticketv1.Ticket) *[]string) decoder {
	return func(ticket *ticketv1.Ticket, value []byte) ([]byte, error) {
		if value[0] != '[' {
			return nil, wantIDs
		}
		var ids []string
		var inexact, reduced bool
		for element := range elements(value) {
			id, exact, ok := textOrInteger(idOf(element))
			if !ok {
				return nil, wantIDs
			}
			ids = append(ids, id)
			inexact = inexact || exact != nil
			reduced = reduced || element[0] == '{'
		}
		*place(ticket) = ids
		switch {
		case !inexact:
			return nil, nil
		case reduced:
			// Of the objects only the ids are to be kept.
			return listOfIDs(value), nil
		default:
			return value, nil
		}
	}
}

// listOfIDs returns a JSON list of the exact ids in a list of ids and objects.
func listOfIDs(value []byte) []byte {
	var ids [][]byte
	for element := range elements(value) {
		ids = append(ids, idOf(element))
	}
	return append(append([]byte{'['}, bytes.Join(ids, []byte{','})...), ']')
}

func dateInto(place func(*ticketv1.Ticket) **timestamp) decoder {
	return func(ticket *ticketv1.Ticket, value []byte) ([]byte, error) {
		if value[0] != '"' {
			return nil, notADate
		}
		text, _ := unquote(value)
		date, err := parseDate(text)
		if err != nil {
			return nil, err
		}
		*place(ticket) = date
		return nil, nil
	}
}

// decodeCommentCount takes an integer, or its digits in a string.
func decodeCommentCount(ticket *ticketv1.Ticket, value []byte) ([]byte, error) {
	digits, isText := bytes.CutPrefix(value, []byte{'"'})
	if isText {
		digits = digits[:len(digits)-1]
		if len(digits) == 0 || digits[0] < '0' || digits[0] > '9' {
			return nil, wantCount
		}
	}
	count, err := strconv.ParseInt(string(digits), 10, 32)
	if err != nil {
		return nil, wantCount
	}
	ticket.CommentCount = int32(count)
	return nil, nil
}

// parseDate reads a date-time of ISO 8601 with an offset: `Z`, `+00:00` or `+0000`. What goes beyond nanoseconds is cut off.
//
// The error is notADate, also for a date outside the years 1 to 9999, which a Timestamp can't hold.
func parseDate(text string) (*timestamp, error) {
	// [time.ParseInLocation] takes an hour of one digit as well, which ISO 8601 has not.
	if hourEnd := len("2006-01-02T15"); len(text) <= hourEnd || text[hourEnd] != ':' {
		return nil, notADate
	}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
		// The location is the one that is looked at first for the offset. With UTC, the usual offset of zero needs no location of its own.
		if parsed, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			date := timestamppb.New(parsed)
			if date.CheckValid() != nil {
				return nil, notADate
			}
			return date, nil
		}
	}
	return nil, notADate
}

// unquote returns the text of a JSON string. When UTF-8 can't hold it, the text has U+FFFD there and exact is the string itself.
func unquote(quoted []byte) (text string, exact []byte) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	unquoted, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		exact = quoted
	}
	return string(unquoted), exact
}

// textOrInteger returns the text of a string, as [unquote] does, or the digits of an integer. It reports false for anything else.
func textOrInteger(value []byte) (text string, exact []byte, ok bool) {
	switch jsontext.Value(value).Kind() {
	case jsontext.KindString:
		text, exact = unquote(value)
		return text, exact, true
	case jsontext.KindNumber:
		return string(value), nil, !bytes.ContainsAny(value, ".eE")
	default:
		return "", nil, false
	}
}

// idOf returns the id of an object, nil when it has none, or the value itself when it is not an object.
func idOf(value []byte) []byte {
	if value[0] != '{' {
		return value
	}
	return memberOf(value, "id")
}

func isNull(value []byte) bool { return string(value) == "null" }

func nilIfNull(value []byte) []byte {
	if isNull(value) {
		return nil
	}
	return value
}
