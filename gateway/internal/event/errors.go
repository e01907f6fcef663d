package event

import "time"

// Error is the reason why a delivery with this body is rejected, or why the body can't be mapped to a request. The same delivery gets the
// same Error until a setting or this package changes: whether an event is dated too far ahead depends on the delivery's time of receipt.
type Error struct {
	// Reason is short and does not change between versions. Bodies are private, so it holds no value of the body, and no name that is not in
	// the provider's contract.
	Reason string
	// IsUnreadable is set if the body is not one well-formed JSON object without doubled keys, so that no field of it can be read.
	IsUnreadable bool
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

// ErrUnexpectedEvent is returned for a well-formed event that is neither [TicketCreated] nor [TicketUpdated]. The provider's contract has
// an answer of its own for such an event.
var ErrUnexpectedEvent = &Error{Reason: "event.name is unexpected"}

var (
	errEmptyBody      = &Error{Reason: "body is empty", IsUnreadable: true}
	errByteOrderMark  = &Error{Reason: "body begins with a byte order mark", IsUnreadable: true}
	errInvalidUTF8    = &Error{Reason: "invalid UTF-8", IsUnreadable: true}
	errInvalidJSON    = &Error{Reason: "body is not valid JSON", IsUnreadable: true}
	errDoubledKey     = &Error{Reason: "doubled key", IsUnreadable: true}
	errTooDeep        = &Error{Reason: "nesting is over 10000 levels", IsUnreadable: true}
	errTrailingData   = &Error{Reason: "data after the JSON value", IsUnreadable: true}
	errNotObject      = &Error{Reason: "body is not an object", IsUnreadable: true}
	errNoEvent        = &Error{Reason: "event is missing"}
	errEventNotObject = &Error{Reason: "event is not an object"}

	errNoTicketID      = &Error{Reason: "no ticket id"}
	errUnreadableDelta = &Error{Reason: "data.delta: list in which no change can be read"}
)

// errDeltaForm is returned for the delta of an update that has a form without changes.
func errDeltaForm(f form) *Error {
	return &Error{Reason: "data.delta: " + string(f) + ", in which no change can be read"}
}

// errNoEventTime is returned for an event without a time. f is the form of its createdDate.
func errNoEventTime(f form) *Error {
	return &Error{Reason: "no usable event time: event.createdDate: " + string(f) + ", and no updatedAt to take in its place"}
}

// errFromFuture is returned for an event that is dated more than tolerance after its receipt.
func errFromFuture(tolerance time.Duration) *Error {
	return &Error{Reason: "the event is dated more than " + tolerance.String() + " ahead of its receipt: " +
		"correct the sender's clock or raise --future-tolerance, then retry"}
}

// fieldErrors are the errors of a field that must be a short string.
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
