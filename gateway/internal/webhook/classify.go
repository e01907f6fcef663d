package webhook

import (
	"errors"

	"github.com/ticketbridge/ticketbridge/gateway/internal/event"
)

// BodyOptions say what becomes of a signed body.
type BodyOptions struct {
	// MaxBodyBytes is the size of the largest body that is taken.
	MaxBodyBytes int64
	// AcknowledgeUnexpected acknowledges events of an unknown kind, which are kept as rejected either way.
	AcknowledgeUnexpected bool
}

// classified is what a signed body is.
type classified struct {
	event event.Envelope
	// redacted is the body without access tokens, as it is kept.
	redacted []byte
	// rejectReason says why the body is refused. Empty when it is accepted.
	rejectReason string
	answer       *answer
}

// classify says what a signed body is. The size is checked before, while the body is read.
func (o BodyOptions) classify(body []byte) classified {
	envelope, err := event.Parse(body)
	c := classified{event: envelope, redacted: event.Redact(body), answer: answerSuccess}
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

// Explanation is what the public address does with a body.
type Explanation struct {
	// Event is what can be read of the event.
	Event event.Envelope
	// Redacted is the body as it is kept.
	Redacted []byte
	// RejectReason says why the body is refused. Empty when it is accepted.
	RejectReason string
	// Status and Message are the answer.
	Status  int
	Message string
}

// Explain returns what the public address does with a body whose signature and time are right.
func Explain(body []byte, options BodyOptions) Explanation {
	c := classified{rejectReason: errTooLarge.Error(), answer: answerTooLarge}
	if int64(len(body)) <= options.MaxBodyBytes {
		c = options.classify(body)
	}
	return Explanation{Event: c.event, Redacted: c.redacted, RejectReason: c.rejectReason, Status: c.answer.status, Message: c.answer.message}
}
