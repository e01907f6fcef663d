package event

// Error says why a body is refused, or why it can't be mapped to a request. Neither changes before the body, a setting or this package does.
type Error struct {
	// Reason is short, does not change between versions, and never holds a value of the body, nor a name that is not in the provider's
	// contract: bodies are private.
	Reason string
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// ErrUnexpectedEvent is returned for a well-formed event of a kind that is neither [TicketCreated] nor [TicketUpdated]. The provider's
// contract has an answer of its own for it.
var ErrUnexpectedEvent = &Error{Reason: "event.name is unexpected"}

var (
	errEmptyBody      = &Error{Reason: "body is empty"}
	errByteOrderMark  = &Error{Reason: "body begins with a byte order mark"}
	errInvalidUTF8    = &Error{Reason: "invalid UTF-8"}
	errInvalidJSON    = &Error{Reason: "body is not valid JSON"}
	errDoubledKey     = &Error{Reason: "doubled key"}
	errTooDeep        = &Error{Reason: "nesting is over 10000 levels"}
	errTrailingData   = &Error{Reason: "data after the JSON value"}
	errNotObject      = &Error{Reason: "body is not an object"}
	errNoEvent        = &Error{Reason: "event is missing"}
	errEventNotObject = &Error{Reason: "event is not an object"}
)

// fieldErrors are the ways in which a field that has to be a short text can fail.
type fieldErrors struct {
	missing, notString, empty, tooLong, notText *Error
}

var (
	idErrors   = newFieldErrors("event.id")
	nameErrors = newFieldErrors("event.name")
)

func newFieldErrors(field string) fieldErrors {
	return fieldErrors{
		missing:   &Error{Reason: field + " is missing"},
		notString: &Error{Reason: field + " is not a string"},
		empty:     &Error{Reason: field + " is empty"},
		tooLong:   &Error{Reason: field + " is over 256 bytes"},
		notText:   &Error{Reason: field + " is not valid text"},
	}
}
