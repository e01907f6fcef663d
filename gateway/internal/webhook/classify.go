package webhook

import (
	"errors"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
)

// BodyOptions are the options for bodies.
type BodyOptions struct {
	// MaxBodyBytes is the maximum size of each body, signed or not.
	MaxBodyBytes int64
	// AcknowledgeUnexpected acknowledges signed events of an unknown kind. They are stored as rejected in both cases.
	AcknowledgeUnexpected bool
}

// classified is the classification of a signed body.
type classified struct {
	event event.Envelope
	// isReadable is set if the body is well-formed, so that event has the App that the body names.
	isReadable bool
	// redacted is the body without access tokens, as it is stored.
	redacted []byte
	// rejectReason is why the delivery is rejected. Empty if it is accepted.
	rejectReason string
	answer       *answer
}

// classify classifies a signed body. The size was checked before, while the body was read.
func (o BodyOptions) classify(body []byte) classified {
	envelope, err := event.Parse(body)
	failure, failed := errors.AsType[*event.Error](err)
	c := classified{event: envelope, isReadable: !failed || !failure.IsUnreadable, redacted: event.Redact(body), answer: answerSuccess}
	if err == nil {
		return c
	}
	c.rejectReason, c.answer = err.Error(), answerMalformed
	if errors.Is(err, event.ErrUnexpectedEvent) {
		c.answer = answerUnexpected
		if o.AcknowledgeUnexpected {
			c.answer = answerSuccess
		}
	}
	return c
}

// Explanation describes how the public address processes a body.
type Explanation struct {
	// Event has the fields of the event that could be read.
	Event event.Envelope
	// Redacted is the body as it is stored. Empty if it is refused for its size.
	Redacted []byte
	// RejectReason is why the delivery is rejected, or refused for its size. Empty if it is accepted.
	RejectReason string
	// Status and Message are the answer.
	Status  int
	Message string
}

// Explain returns how the public address processes a body whose signature and time are right.
func Explain(body []byte, options BodyOptions) Explanation {
	c := classified{rejectReason: errTooLarge.Error(), answer: answerTooLarge}
	if int64(len(body)) <= options.MaxBodyBytes {
		c = options.classify(body)
	}
	return Explanation{Event: c.event, Redacted: c.redacted, RejectReason: c.rejectReason, Status: c.answer.status, Message: c.answer.message}
}
