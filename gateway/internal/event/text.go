package event

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/ticketbridge/ticketbridge/internal/id"
)

// The functions here take raw JSON values out of a body that [scan] found well-formed. A nil value is a missing one.

// requireID returns the text of a value that has to be a usable id.
func requireID(raw []byte, errs *fieldErrors) (string, error) {
	text, err := requireText(raw, errs)
	if err == nil && !id.Valid(text) {
		return "", errs.notText
	}
	return text, err
}

// requireText returns the text of a value that has to be a short text.
func requireText(raw []byte, errs *fieldErrors) (string, error) {
	switch {
	case raw == nil:
		return "", errs.missing
	case raw[0] != '"':
		return "", errs.notString
	}
	text, ok := unquote(raw)
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

// textOrEmpty returns the text of a JSON string, or "" when raw is none or can't be held as text.
func textOrEmpty(raw []byte) string {
	if raw == nil || raw[0] != '"' {
		return ""
	}
	text, _ := unquote(raw)
	return text
}

// isID reports whether raw is something that names a ticket or a category: a string that is not empty, or an integer.
func isID(raw []byte) bool {
	switch {
	case raw == nil:
		return false
	case raw[0] == '"':
		return string(raw) != `""`
	case raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9':
		return !bytes.ContainsAny(raw, ".eE")
	default:
		return false
	}
}

// usableID returns the text of a string or the exact digits of an integer, or "" when that can't serve as an id.
func usableID(raw []byte) string {
	text, ok := string(raw), true
	if raw[0] == '"' {
		text, ok = unquote(raw)
	}
	if !ok || !id.Valid(text) {
		return ""
	}
	return text
}

// unquote returns the text of a JSON string, or false when a database might not hold it: NUL, or a surrogate without its other half.
func unquote(raw []byte) (string, bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err != nil || bytes.IndexByte(text, 0) >= 0 {
		return "", false
	}
	return string(text), true
}

// urn is what a URN says about a ticket. The contract leaves its form open behind the category:
//
//	urn:allthings:app:<app>:ticket:<category>:<last>
type urn struct {
	// app is the App's id. Empty when the URN has another form, and when it can't serve as an id.
	app string
	// last is the last segment when it may be a ticket's id. Empty when it is missing, a wildcard or the category again, and when it can't
	// serve as an id.
	last string
}

// parseURN reads a URN. One with more segments behind <last> names no ticket: which of them would be the ticket is not known.
func parseURN(text string) urn {
	rest, ok := strings.CutPrefix(text, "urn:allthings:app:")
	if !ok {
		return urn{}
	}
	app, rest, _ := strings.Cut(rest, ":")
	if app == "*" || !id.Valid(app) {
		app = ""
	}
	rest, ok = strings.CutPrefix(rest, "ticket:")
	category, last, _ := strings.Cut(rest, ":")
	if !ok || last == "*" || last == category || strings.Contains(last, ":") || !id.Valid(last) {
		last = ""
	}
	return urn{app: app, last: last}
}
